"""What tools/axe runs: the path of axe.min.js is its one argument."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tools.staging.site import chromium, logged_in, staged

GRAVE = {"serious", "critical"}


def main() -> None:
    source = Path(sys.argv[1]).read_text()
    grave = 0
    with staged() as site, chromium() as browser:
        from tools.staging.pages import pages

        paths = pages()
        for scheme in ("light", "dark"):
            # The page's own policy would refuse a script put into it; this is not the page's.
            page = logged_in(browser, site, color_scheme=scheme, bypass_csp=True)
            for path in paths:
                page.goto(f"{site}{path}")
                grave += _judge(page, source, f"{scheme} {path}")
    print(f"{len(paths)} pages, light and dark; serious or critical: {grave}")
    sys.exit(1 if grave else 0)


def _judge(page: Any, source: str, title: str) -> int:
    page.evaluate(source)
    found = page.evaluate("axe.run()")["violations"]
    for violation in found:
        print(f"{title}: {violation['impact']}: {violation['id']}: {violation['help']}")
        for node in violation["nodes"][:3]:
            print(f"    {node['target'][0]}  {node['html'][:110]}")
    return sum(violation["impact"] in GRAVE for violation in found)


if __name__ == "__main__":
    main()
