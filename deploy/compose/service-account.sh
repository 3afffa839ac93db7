# Sourced once by the image of MySQL, when its data folder is made: the account that holds, moves
# and removes tables, as `undrop init` makes it.
docker_process_sql <<-EOSQL
	CREATE USER 'undrop'@'%' IDENTIFIED BY '${UNDROP_PASSWORD}';
	GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, REFERENCES, TRIGGER, SHOW VIEW, CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, EVENT, PROCESS ON *.* TO 'undrop'@'%';
EOSQL
