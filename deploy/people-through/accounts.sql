-- Applications connect to the server, and lose the privileges with which a table can be destroyed.
-- DROP also stands for TRUNCATE, RENAME TABLE and the removal of partitions; ALTER for DROP COLUMN,
-- DISCARD TABLESPACE and another ENGINE.
REVOKE DROP, ALTER ON shop.* FROM 'app'@'%';

-- People and migration tools have accounts that exist for the host of undrop alone (10.0.0.5).
CREATE USER 'dba'@'10.0.0.5' IDENTIFIED BY 'a password';
GRANT ALL ON shop.* TO 'dba'@'10.0.0.5';
