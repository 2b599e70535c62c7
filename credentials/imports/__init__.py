"""Import: one body or a million lines become rows, one for each upstream account.

- `fields`, `validation`: one body into an ImportItem
- `readers`, `csv_reader`: files into lines
- `merge`: what an item changes in the stored row
- `upsert`: items into rows
- `batch`: lines into a report
- `admin_views`, `admin_services`, `admin_upload`, `models`: the import page of staff. The uploaded
  file is one sealed value in the database between its preview and the import, for an hour at most; it
  is never written to a disk.
"""
