-- What is kept, one row to a key.
--
-- Sealed bytes do not compress, so nothing tries to. Nothing but expires_at is indexed beside the
-- key: a row that keeps its expiry is renewed in its page, which fillfactor leaves room for.
CREATE TABLE {schema}.slots (
    key bytea PRIMARY KEY,
    expires_at bigint NOT NULL,
    version bigint NOT NULL,
    grant_id bytea,
    sealed bytea
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE {schema}.slots ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE INDEX slots_expires_at ON {schema}.slots (expires_at);
