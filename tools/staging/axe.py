"""Run axe-core on every admin page. The one argument is the path of axe.min.js."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tools.staging.site import chromium, log_in, start_site

SERIOUS = {"serious", "critical"}


def main() -> None:
    source = Path(sys.argv[1]).read_text()
    serious = 0
    with start_site() as site, chromium() as browser:
        from tools.staging.pages import list_pages

        paths = list_pages()
        for scheme in ("light", "dark"):
            # The Content-Security-Policy of the page would block the injected axe-core.
            page = log_in(browser, site, color_scheme=scheme, bypass_csp=True)
            for path in paths:
                page.goto(f"{site}{path}")
                serious += _report_violations(page, source, f"{scheme} {path}")
    print(f"{len(paths)} pages, light and dark; serious or critical: {serious}")
    sys.exit(1 if serious else 0)


def _report_violations(page: Any, source: str, title: str) -> int:
    """Print the violations of the page and return the number of serious ones."""
    page.evaluate(source)
    violations = page.evaluate("axe.run()")["violations"]
    for violation in violations:
        print(f"{title}: {violation['impact']}: {violation['id']}: {violation['help']}")
        for node in violation["nodes"][:3]:
            print(f"    {node['target'][0]}  {node['html'][:110]}")
    return sum(violation["impact"] in SERIOUS for violation in violations)


if __name__ == "__main__":
    main()
