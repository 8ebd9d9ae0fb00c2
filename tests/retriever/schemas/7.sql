-- The tables of schema 5: versions that are no longer kept, batches, and receipts of uploads.

CREATE TABLE meta (
    "key" VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    PRIMARY KEY ("key")
);

CREATE TABLE collections (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    metadata JSON NOT NULL,
    created_at VARCHAR NOT NULL,
    UNIQUE (tenant, name)
);

CREATE TABLE documents (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant VARCHAR NOT NULL,
    id VARCHAR NOT NULL,
    collection VARCHAR NOT NULL,
    visible INTEGER,
    revisions INTEGER NOT NULL,
    status VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    metadata JSON NOT NULL,
    created_at VARCHAR NOT NULL,
    updated_at VARCHAR NOT NULL,
    version VARCHAR,
    media_type VARCHAR NOT NULL,
    characters INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    passages INTEGER NOT NULL,
    warnings JSON NOT NULL,
    UNIQUE (tenant, id)
);

CREATE INDEX documents_by_content ON documents (tenant, collection, sha256);

CREATE INDEX documents_by_collection ON documents (tenant, collection, created_at, id);

CREATE TABLE jobs (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant VARCHAR NOT NULL,
    id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    cancelling BOOLEAN NOT NULL,
    done INTEGER NOT NULL,
    total INTEGER,
    unit VARCHAR,
    payload JSON NOT NULL,
    result JSON,
    problem JSON,
    created_at VARCHAR NOT NULL,
    updated_at VARCHAR NOT NULL,
    UNIQUE (id)
);

CREATE INDEX jobs_by_tenant ON jobs (tenant, number);

CREATE INDEX jobs_by_status ON jobs (status, tenant, number);

CREATE TABLE turns (
    tenant VARCHAR NOT NULL,
    turn INTEGER NOT NULL,
    PRIMARY KEY (tenant)
);

CREATE TABLE revisions (
    document INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    tenant VARCHAR NOT NULL,
    job_id VARCHAR NOT NULL,
    collection VARCHAR NOT NULL,
    filename VARCHAR,
    declared_type VARCHAR,
    title VARCHAR,
    metadata JSON NOT NULL,
    sha256 VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL,
    published BOOLEAN NOT NULL,
    version VARCHAR,
    parsed_title VARCHAR,
    media_type VARCHAR,
    characters INTEGER,
    pages INTEGER,
    passages INTEGER,
    warnings JSON,
    PRIMARY KEY (document, revision),
    FOREIGN KEY(document) REFERENCES documents (number) ON DELETE CASCADE
);

CREATE TABLE assets (
    collection INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    size INTEGER NOT NULL,
    metadata JSON NOT NULL,
    created_at VARCHAR NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (collection, name),
    FOREIGN KEY(collection) REFERENCES collections (number) ON DELETE CASCADE
);

CREATE TABLE changes (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant VARCHAR NOT NULL,
    collection INTEGER NOT NULL,
    document_id VARCHAR NOT NULL,
    UNIQUE (collection, document_id),
    FOREIGN KEY(collection) REFERENCES collections (number) ON DELETE CASCADE
);

CREATE INDEX changes_by_collection ON changes (collection, seq);

CREATE TABLE files (
    document INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    tenant VARCHAR NOT NULL,
    data BLOB NOT NULL,
    size INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (document, revision),
    FOREIGN KEY(document, revision) REFERENCES revisions (document, revision) ON DELETE CASCADE,
    FOREIGN KEY(document) REFERENCES documents (number) ON DELETE CASCADE
);

CREATE INDEX files_by_tenant ON files (tenant, document, size);

CREATE TABLE texts (
    document INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    tenant VARCHAR NOT NULL,
    sections JSON NOT NULL,
    pages JSON NOT NULL,
    turns JSON DEFAULT '[]' NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (document, revision),
    FOREIGN KEY(document, revision) REFERENCES revisions (document, revision) ON DELETE CASCADE,
    FOREIGN KEY(document) REFERENCES documents (number) ON DELETE CASCADE
);

CREATE TABLE passages (
    "key" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    tenant VARCHAR NOT NULL,
    ordinal INTEGER NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    page INTEGER,
    section JSON NOT NULL,
    text TEXT NOT NULL,
    UNIQUE (document, revision, ordinal),
    FOREIGN KEY(document, revision) REFERENCES revisions (document, revision) ON DELETE CASCADE
);

CREATE TABLE vectors (
    "key" INTEGER NOT NULL,
    encoder VARCHAR NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY ("key", encoder),
    FOREIGN KEY("key") REFERENCES passages ("key") ON DELETE CASCADE
);

CREATE TABLE "keys" (
    id VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    scopes JSON NOT NULL,
    digest VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL,
    expires_at VARCHAR,
    revoked_at VARCHAR,
    requests_per_minute INTEGER,
    documents INTEGER,
    bytes INTEGER,
    PRIMARY KEY (id)
);

CREATE TABLE past_versions (
    document INTEGER NOT NULL,
    version VARCHAR NOT NULL,
    PRIMARY KEY (document, version),
    FOREIGN KEY(document) REFERENCES documents (number) ON DELETE CASCADE
);

CREATE TABLE batch_lines (
    job INTEGER NOT NULL,
    line INTEGER NOT NULL,
    data BLOB NOT NULL,
    result JSON,
    PRIMARY KEY (job, line),
    FOREIGN KEY(job) REFERENCES jobs (number) ON DELETE CASCADE
);

CREATE TABLE receipts (
    tenant VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,
    "key" VARCHAR NOT NULL,
    fingerprint VARCHAR NOT NULL,
    document_id VARCHAR,
    job_id VARCHAR,
    created BOOLEAN NOT NULL,
    reply JSON,
    created_at VARCHAR NOT NULL,
    PRIMARY KEY (tenant, scope, "key")
);

CREATE INDEX receipts_by_age ON receipts (created_at);

CREATE INDEX receipts_by_document ON receipts (tenant, document_id);

CREATE TABLE job_blocks (
    job INTEGER NOT NULL,
    encoder VARCHAR NOT NULL,
    digest BLOB NOT NULL,
    sentences INTEGER NOT NULL,
    vectors BLOB NOT NULL,
    PRIMARY KEY (job, encoder, digest),
    FOREIGN KEY(job) REFERENCES jobs (number) ON DELETE CASCADE
);

CREATE TABLE sentence_blocks (
    document INTEGER NOT NULL,
    encoder VARCHAR NOT NULL,
    digest BLOB NOT NULL,
    sentences INTEGER NOT NULL,
    vectors BLOB NOT NULL,
    PRIMARY KEY (document, encoder, digest),
    FOREIGN KEY(document) REFERENCES documents (number) ON DELETE CASCADE
);
