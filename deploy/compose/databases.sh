#!/bin/sh
# Makes a role and a database of its own for each service of DATABASES ("room=PASSWORD …"), both called hongyan_SERVICE; no
# other role may connect to it. PostgreSQL's container runs this when its volume is empty. After a service or a password has
# changed: docker compose -f deploy/compose/cluster.yaml exec postgres sh /docker-entrypoint-initdb.d/databases.sh
set -eu
for pair in $DATABASES; do
  NAME=hongyan_${pair%%=*} PASSWORD=${pair#*=} psql --no-psqlrc -v ON_ERROR_STOP=1 \
    --username "${POSTGRES_USER:-postgres}" --dbname "${POSTGRES_DB:-postgres}" <<'SQL'
\getenv name NAME
\getenv password PASSWORD
SELECT format('CREATE ROLE %I LOGIN', :'name')
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
ALTER ROLE :"name" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I ENCODING ''UTF8'' TEMPLATE template0', :'name', :'name')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
