"""Import: one body or a million lines become rows, one for each upstream account.

- `fields`, `secret_input`, `validation`: one body into an ImportItem
- `readers`: bodies of the API into lines; `files`: files of any form into lines
- `row_changes`: bodies that name the row that they change, as the lines of an export
- `merge`: what an item changes in the stored row
- `stored_rows`: the rows that items refer to, locked
- `upsert`: items into rows
- `row_writes`: the statements that write them
- `batch`: lines into a report
- `preview`: what the report of a dry run does not say
- `admin_views`, `admin_services`, `admin_upload`, `models`: the import page of staff. The uploaded
  file is one sealed value in the database between its preview and the import, for an hour at most; it
  is never written to a disk.
"""
