"""Write Cloudflare's addresses into network.yaml: python deploy/aws/make_addresses.py [--refresh]

--refresh asks Cloudflare for them first (https://www.cloudflare.com/ips/) and says what has changed.
"""

import sys
import urllib.request
from ipaddress import IPv4Network
from pathlib import Path

import yaml

HERE = Path(__file__).parent
LIST, NETWORK = HERE / "cloudflare-ips.txt", HERE / "network.yaml"
SOURCE = "https://www.cloudflare.com/ips-v4"
BEGIN = "  # From here to the end of the addresses: made by make_addresses.py. Do not edit by hand.\n"
END = "  # The end of the addresses.\n"
ROOM = 30  # entries; of a list that a security group names each counts as a rule, of which it may have sixty


class Wrong(Exception):
    """What should be a list of networks is none; a sentence that says why."""


def networks(text: str) -> list[IPv4Network]:
    """Sorted. Raises Wrong for anything but public networks, and for a list that would let half the world in."""
    try:
        found = sorted({IPv4Network(line.strip()) for line in text.splitlines() if line.strip()})
    except ValueError as error:
        raise Wrong(f"Not a list of IPv4 networks: {error}.") from None
    wide = [network for network in found if network.prefixlen < 10 or not network.is_global]
    if wide or not 5 <= len(found) <= ROOM:
        raise Wrong(f"Not Cloudflare's list: {len(found)} networks, among them {[str(each) for each in wide]}.")
    return found


def resource(found: list[IPv4Network]) -> dict[str, object]:
    return {
        "Cloudflare": {
            "Type": "AWS::EC2::PrefixList",
            "Condition": "Standard",
            "Properties": {
                "PrefixListName": {"Fn::Sub": "${AWS::StackName}-cloudflare"},
                "AddressFamily": "IPv4",
                "MaxEntries": ROOM,
                "Entries": [{"Cidr": str(network), "Description": "Cloudflare"} for network in found],
            },
        }
    }


def template(there: str, found: list[IPv4Network]) -> str:
    """`there` with the prefix list in its place."""
    before, _, rest = there.partition(BEGIN)
    _, _, after = rest.partition(END)
    text = yaml.safe_dump(resource(found), sort_keys=False, width=120)
    lines = "".join(f"  {line}" if line.strip() else line for line in text.splitlines(keepends=True))
    return f"{before}{BEGIN}{lines}{END}{after}"


def main() -> int:
    try:
        known = networks(LIST.read_text(encoding="utf-8"))
        if "--refresh" in sys.argv[1:]:
            with urllib.request.urlopen(SOURCE, timeout=30) as answer:
                fresh = networks(answer.read().decode("ascii", "replace"))
            for network in sorted(set(fresh) ^ set(known)):
                print(f"{'new' if network in fresh else 'gone'}: {network}")
            known = fresh
            LIST.write_text("".join(f"{network}\n" for network in known), encoding="utf-8")
            print(f"{len(known)} networks. Commit the change, then scripts/deploy: the list is part of the network.")
    except (Wrong, OSError) as error:
        print(f"The addresses stay as they were: {error}", file=sys.stderr)
        return 1
    NETWORK.write_text(template(NETWORK.read_text(encoding="utf-8"), known), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
