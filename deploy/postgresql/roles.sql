-- The two roles and the database, made once by a superuser of PostgreSQL 13 or newer:
--   psql -v owner_password=... -v app_password=... -f deploy/postgresql/roles.sql postgres
-- latchkey_owner owns the tables and runs migrations; latchkey_app is the role of serve, serve_proxy and worker.
-- Rights on single tables come from `manage.py grant_rights latchkey_app`, which the owner runs after each migration.
\set ON_ERROR_STOP on

CREATE ROLE latchkey_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE latchkey_app LOGIN PASSWORD :'app_password';
CREATE DATABASE latchkey OWNER latchkey_owner ENCODING 'UTF8' TEMPLATE template0;

REVOKE ALL ON DATABASE latchkey FROM PUBLIC;
GRANT CONNECT ON DATABASE latchkey TO latchkey_app;

\connect latchkey
-- Before PostgreSQL 15, every role may create tables in this schema.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO latchkey_owner;
GRANT USAGE ON SCHEMA public TO latchkey_app;

-- A table of a later migration can be used at once, while the former version still runs.
ALTER DEFAULT PRIVILEGES FOR ROLE latchkey_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO latchkey_app;
ALTER DEFAULT PRIVILEGES FOR ROLE latchkey_owner IN SCHEMA public
  GRANT USAGE ON SEQUENCES TO latchkey_app;
