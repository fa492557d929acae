-- Who does what only one replica may do, and what came of it: gone after a crash, which costs a
-- second flight. until counts microseconds since 1970 by the clock of this server.
CREATE UNLOGGED TABLE {schema}.leases (
    flight bytea PRIMARY KEY,
    holder bytea,
    until bigint NOT NULL,
    answer bytea
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE {schema}.leases ALTER COLUMN answer SET STORAGE EXTERNAL;
CREATE INDEX leases_until ON {schema}.leases (until);
