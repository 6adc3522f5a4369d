"""The app as it is deployed, but for waiting ten minutes for Stripe: what is answered meanwhile did not wait for it."""

import app as package
from app.gateways import stripe

package.STRIPE_DEADLINE_SECONDS = package.STRIPE_SLOW_SECONDS = stripe.READ_TIMEOUT_SECONDS = 600

from app.wsgi import app  # noqa: E402, F401 - made with these
