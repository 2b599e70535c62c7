"""Write the screenshots of docs/ to the folder that the one argument names."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from tools.staging.site import chromium, log_in, start_site

WIDE = {"viewport": {"width": 1360, "height": 860}}
UPLOAD = b"""\
{"properties": {"kind": "stripe_key", "secret": "sk_live_made_up_1"}, "name": "Atreides Stripe", "owner_email": "billing@atreides.example"}
{"properties": {"kind": "stripe_key", "secret": "sk_live_made_up_2"}, "name": "Ordos Stripe", "metadata": {"plan": "team"}}
{"properties": {"kind": "stripe_key", "scret": "sk_live_made_up_3"}, "name": "Ginaz Stripe"}
{"properties": {"kind": "sendgrid_key", "key": "SG.made.up.4"}, "name": "Corrino SendGrid"}
{"properties": {"kind": "strpe_key", "secret": "sk_live_made_up_5"}, "name": "Vernius Stripe"}
{"properties": {"kind": "openai_key", "key": "sk-made-up-6"}, "name": "Moritani OpenAI", "owner_email": "ops@moritani.example"}
"""


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with start_site() as site, chromium() as browser:
        for scheme in ("light", "dark"):
            page = log_in(browser, site, color_scheme=scheme, **WIDE)
            suffix = "" if scheme == "light" else "-dark"
            _take_screenshots(page, site, folder, suffix)
        phone = {"viewport": {"width": 375, "height": 780}, "device_scale_factor": 2}
        page = log_in(browser, site, **phone)
        _save(page, folder / "dashboard-phone.png")


def _take_screenshots(page: Any, site: str, folder: Path, suffix: str) -> None:
    page.goto(f"{site}/admin/")
    _save(page, folder / f"dashboard{suffix}.png")
    page.goto(f"{site}/admin/credentials/credential/")
    _save(page, folder / f"list{suffix}.png")
    page.goto(f"{site}/admin/credentials/credential/?health=error")
    page.locator("#result_list .field-title a").first.click()
    _save(page, folder / f"detail{suffix}.png")
    if suffix:
        return
    page.goto(f"{site}/admin/credentials/import/")
    page.get_by_label("Account").select_option(index=1)
    page.locator("input[type=file]").set_input_files(
        {"name": "customers.ndjson", "mimeType": "application/x-ndjson", "buffer": UPLOAD}
    )
    page.get_by_role("button", name="Preview").click()
    page.wait_for_load_state()
    _save(page, folder / "import-preview.png")
    page.goto(f"{site}/admin/credentials/credential/add/")
    page.get_by_label("Account").select_option(index=1)
    page.get_by_label("Kind").select_option("salesforce_oauth2")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_load_state()
    _save(page, folder / "add.png")


def _save(page: Any, path: Path) -> None:
    time.sleep(0.2)
    page.screenshot(path=str(path))
    print(f"{path}: {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
