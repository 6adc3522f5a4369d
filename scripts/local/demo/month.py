"""The month that the demo accounts have behind them: who bought what, who asked for what, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.tasks import CANCELLED, COMPLETED, IN_PROGRESS, PENDING, REJECTED
from app.services.seed import CUSTOMER

DAYS = 28.0
MIRA, JONAH = "mira.keller@example.com", "jonah.okafor@example.com"


@dataclass(frozen=True)
class Joined:
    """Somebody else than the demo customer makes an account."""

    days_ago: float
    who: str


@dataclass(frozen=True)
class Bought:
    """A pack is paid for at Stripe's stand-in, and `refund_cents` of it given back a while later."""

    days_ago: float
    who: str
    cents: int = 1000
    refund_cents: int = 0
    refunded_days_ago: float = 0.0


@dataclass(frozen=True)
class Asked:
    """A task, and what became of it `hours` later; `words` are its result, or why it was rejected."""

    days_ago: float
    who: str
    text: str
    status: str = COMPLETED
    hours: float = 2.0
    words: str = ""
    redo: str = ""  # what its customer found wrong with the result
    redo_days_ago: float = 0.0


QUOTES = """## The second quote is the best value

| | Alder & Sons | **Birch** | Cedar Works |
| --- | ---: | ---: | ---: |
| price | $4,180 | **$4,420** | $3,990 |
| delivery | 3 weeks | **5 days** | 8 weeks |
| warranty | 1 year | **5 years** | none |

1. Only Birch delivers before your deadline.
2. Its warranty covers the bearings, which fail first: about $600 a year.
3. Cedar is cheaper by $430 and comes five weeks too late.

> Ask Birch to confirm the delivery date in writing.
"""
LETTER = """Sehr geehrte Frau Brandt,

vielen Dank für Ihre Nachricht. Der Heizkörper im Schlafzimmer wird seit zwei Wochen nicht mehr warm;
das Entlüften hat nichts geändert. **Bitte nennen Sie uns bis Freitag einen Termin**, an dem ein Handwerker kommen
kann. Werktags ab 16 Uhr ist immer jemand zu Hause.

Mit freundlichen Grüßen
"""
REPORT = """## The third quarter in five points

1. **Revenue $1.84 m**, 12 % above the second quarter; two thirds of the rise is the new northern region.
2. **Gross margin 41 %** (39 %): freight became cheaper, wages did not.
3. **Churn 2.1 %** a month, the lowest since the price change in spring.
4. **Cash for 14 months** at the present rate, against 11 in June.
5. **One risk**: a single customer is now 23 % of revenue, and its contract ends in March.
"""
SUPPLIERS = """Of the 38 suppliers in your list **four have no contract date**:

| supplier | last order | spent this year |
| --- | --- | ---: |
| Halden Print | 14 October | $2,310 |
| Okta Freight | 2 October | $11,870 |
| Pineview Catering | 29 August | $640 |
| Studio Marl | 11 June | $3,200 |

Okta Freight comes first: it is your third largest, and prices were last agreed by mail in 2023.
"""
REPLY = """> Dear Ms Lindqvist,
>
> you are right, and we are sorry: the lamp that reached you last week should not have left our workshop with that
> crack. **A new one goes out today**, by express, at no cost. Keep the old one; there is nothing to send back.
>
> If it has not arrived by Thursday, answer this mail and it comes straight to me.

Two notes: I left out the discount that your template offers, since she did not ask for money; and the name of the
parcel service is not in your notes, so it is not in the letter.
"""
TITLES = """1. **Paid once, worked once** – says the promise, and what is behind it
2. Ten credits, one answer
3. What happens to a task at night
4. The queue that people read
5. No subscription, on purpose

The first tested best against your brief: short, concrete, and nobody else can say it.
"""
MINUTES = """**Decided**
- The launch moves from 2 to 9 December; Priya tells the partners.
- Annual plans wait for the new invoices.

**Open**
- Who answers mails at weekends? (Tom asks the team by Friday.)
- Two offers for the office; nobody has seen the second one.

**Not spoken of, but on the list**: the backup test, for the third time.
"""
RECIPE = """| day | lunch | dinner |
| --- | --- | --- |
| Mon | lentil soup | baked feta, tomatoes |
| Tue | *what is left of it* | chickpea curry |
| Wed | wraps with the curry | mushroom risotto |
| Thu | tomato salad, bread | arancini of the risotto |
| Fri | omelette | pizza, the last vegetables |

About **$46** for four; nothing with nuts. The shopping list, by the shelves of a shop, is below.

- Vegetables: 2 kg tomatoes, 500 g mushrooms, 1 head of celery, 4 onions, spinach
- Cool: feta, 6 eggs, 300 g mozzarella
- Dry: lentils, 2 tins of chickpeas, risotto rice, 1 kg flour
"""
SURVEY = """**61 of 84 answers name the same thing: the wait at the counter.**

- 38 say that they left without buying, most of them between 12 and 13 o'clock.
- 19 praise the staff by name, Ilse eleven times.
- 9 want longer opening hours, all on Saturdays.
- The rating of the products themselves did not change (4.4 of 5).

A second counter at noon would reach 45 % of the complaints.
"""
REFUNDS = """**You get back what you have not spent.** Write to us within 30 days; the money is with you, on the card
that you paid with, within five working days. What was spent on finished tasks stays spent.
"""
POSTS = """Merge **three pairs**:

- 2 and 9: the same example, told twice
- 4 and 5: written as one, split for their length
- 7 and 11: the second repeats the first half of the first

The other six stand well alone.
"""

MONTH: tuple[Joined | Bought | Asked, ...] = (
    Asked(
        27.2, CUSTOMER, "Compare the quotes of Alder, Birch and Cedar: which is the best value, and why?", words=QUOTES
    ),
    Joined(26.4, MIRA),
    Bought(26.3, MIRA),
    Asked(25.1, CUSTOMER, "Translate the letter to my landlady into German, formal address.", hours=0.8, words=LETTER),
    Asked(24.2, MIRA, "Sort the answers of our customer survey by what people complain about.", words=SURVEY, hours=6),
    Bought(23.0, CUSTOMER),
    Asked(22.1, CUSTOMER, "Summarise our quarterly report in five points for the board.", hours=3.5, words=REPORT),
    Asked(
        20.3,
        CUSTOMER,
        "Read the shared folder and make a list of all invoices that are older than 60 days.",
        REJECTED,
        hours=1.1,
        words="The folder asks for a sign-in that we do not have. Share it with a link, or paste the list.",
    ),
    Asked(
        19.2, CUSTOMER, "List every supplier in our spreadsheet without a contract date.", hours=1.6, words=SUPPLIERS
    ),
    Asked(17.2, CUSTOMER, "Draft an invitation to the summer party in August.", CANCELLED, hours=0.2),
    Asked(15.9, CUSTOMER, "Draft a reply to the complaint about the cracked lamp, offering a new one.", words=REPLY),
    Bought(13.1, CUSTOMER, refund_cents=400, refunded_days_ago=12.6),
    Asked(12.1, CUSTOMER, "Five titles for a talk about our queue, none longer than six words.", hours=4, words=TITLES),
    Joined(11.4, JONAH),
    Bought(11.3, JONAH),
    Asked(10.5, JONAH, "A week of vegetarian meals for four, no nuts, with a shopping list.", hours=2.4, words=RECIPE),
    Asked(
        9.0,
        CUSTOMER,
        "Summarise the minutes of the last three meetings: decided, open, forgotten.",
        hours=1.3,
        words=MINUTES,
        redo="The second meeting is missing: there the budget was decided.",
        redo_days_ago=1.2,
    ),
    Asked(
        7.1,
        MIRA,
        "Say in two sentences what our opening hours at the holidays are.",
        REJECTED,
        hours=0.5,
        words="Your opening hours are not in the text. Add them and we write the two sentences.",
    ),
    Asked(
        5.2,
        CUSTOMER,
        "Rewrite the paragraph about refunds so that a customer understands it at once.",
        hours=0.7,
        words=REFUNDS,
    ),
    Asked(
        2.3, CUSTOMER, "Which of our twelve blog posts should be merged? A line of reason each.", hours=5, words=POSTS
    ),
    Asked(1.1, MIRA, "Turn the eleven bullet points into a one-page offer for the town library.", PENDING),
    Asked(0.21, JONAH, "Find three halls for 80 people near Leeds that are free on a Friday in March.", PENDING),
    Asked(
        0.12, CUSTOMER, "Find the notice periods in our office lease and put them into a table.", IN_PROGRESS, hours=1
    ),
    Asked(0.05, JONAH, "Shorten this cover letter to one page without losing the two projects.", PENDING),
    Asked(0.02, CUSTOMER, "Draft a friendly reminder for the invoice that was due last Friday.", PENDING),
)
