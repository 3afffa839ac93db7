<?php
// Doctrine DBAL's schema tool on a small project. Arguments: host port user password schema
require __DIR__ . '/php-root.php';

use Doctrine\DBAL\DriverManager;
use Doctrine\DBAL\Schema\Schema;
use Doctrine\DBAL\Schema\View;

[, $host, $port, $user, $password, $name] = $argv;
$login = ['driver' => 'pdo_mysql', 'charset' => 'utf8mb4']
  + compact('host', 'port', 'user', 'password');
$connection = DriverManager::getConnection($login + ['dbname' => $name]);
$manager = $connection->createSchemaManager();
$platform = $connection->getDatabasePlatform();

/** What a migration is made of: the whole project, or its first half. */
function project(bool $isComplete): Schema {
  $schema = new Schema();
  $author = $schema->createTable('author');
  $author->addColumn('id', 'integer', ['autoincrement' => true]);
  $author->addColumn('name', 'string', ['length' => 50]);
  $author->setPrimaryKey(['id']);
  $author->addUniqueIndex(['name'], 'by_name');
  $book = $schema->createTable('book');
  $book->addColumn('id', 'integer', ['autoincrement' => true]);
  $book->addColumn('author_id', 'integer');
  $book->addColumn('title', 'string', ['length' => 100]);
  $book->setPrimaryKey(['id']);
  $book->addIndex(['title'], 'by_title');
  $book->addForeignKeyConstraint('author', ['author_id'], ['id'], [], 'fk_author');
  if (!$isComplete) return $schema;
  $book->addColumn('price', 'decimal', ['precision' => 9, 'scale' => 2, 'notnull' => false]);
  $loan = $schema->createTable('loan');
  $loan->addColumn('book_id', 'integer');
  $loan->addForeignKeyConstraint('book', ['book_id'], ['id'], ['onDelete' => 'CASCADE'], 'fk_book');
  return $schema;
}

function attempt(string $what, callable $run): void {
  try {
    $said = json_encode($run());
  } catch (Doctrine\DBAL\Exception $error) {
    $said = get_class($error) . ' ' . $error->getMessage();
  }
  echo "$what: $said\n";
}

/** What Doctrine thinks has to be done, which is done. */
function migrate(Schema $to): void {
  global $connection, $manager, $platform;
  $diff = $manager->createComparator()->compareSchemas($manager->introspectSchema(), $to);
  foreach ($platform->getAlterSchemaSQL($diff) as $sql) {
    attempt($sql, fn() => $connection->executeStatement($sql));
  }
}

function fill(): void {
  global $connection;
  $connection->insert('author', ['name' => 'Ann']);
  foreach (['One', 'Two', 'Three'] as $title) {
    $connection->insert('book', ['author_id' => 1, 'title' => $title]);
  }
}

function look(): void {
  global $connection, $manager;
  $lines = [];
  foreach ($manager->introspectSchema()->getTables() as $table) {
    $name = $table->getName();
    $keys = array_keys($table->getForeignKeys() + $table->getIndexes());
    sort($keys);
    $lines[] = "$name {$connection->fetchOne("SELECT COUNT(*) FROM $name")} " . join(' ', $keys);
  }
  foreach ($manager->listViews() as $view) $lines[] = 'view ' . $view->getName();
  // The server lists them in no order.
  sort($lines);
  echo join("\n", $lines), "\n";
}

migrate(project(true));
fill();
look();
migrate(project(false));
look();
migrate(project(true));
migrate(project(true));
$manager->createView(new View('titles', 'SELECT title FROM book'));
// A parent isn't dropped.
attempt('dropTable author', fn() => $manager->dropTable('author'));
attempt('dropTable titles', fn() => $manager->dropTable('titles'));
look();
$manager->dropView('titles');
// As schema-tool drops: foreign keys first, then the tables.
$drops = $manager->introspectSchema()->toDropSql($platform);
sort($drops);
foreach ($drops as $sql) {
  attempt($sql, fn() => $connection->executeStatement($sql));
}
attempt('dropTable gone', fn() => $manager->dropTable('gone'));
look();
foreach (project(true)->toSql($platform) as $sql) $connection->executeStatement($sql);
fill();
$manager->renameTable('loan', 'lent');
$manager->dropForeignKey('fk_author', 'book');
$manager->dropTable('author');
look();

// database:drop and database:create: from a connection without a schema, then from one in it.
$outside = DriverManager::getConnection($login)->createSchemaManager();
$outside->dropDatabase($name);
attempt('again', fn() => $outside->dropDatabase($name));
attempt('gone', fn() => $connection->fetchOne('SELECT DATABASE()'));
$outside->createDatabase($name);
$connection->close();
migrate(project(true));
fill();
$manager->dropDatabase($name);
attempt('gone', fn() => $connection->fetchOne('SELECT DATABASE()'));
$manager->createDatabase($name);
$connection->close();
migrate(project(true));
fill();
look();
echo join(' ', array_intersect($manager->listDatabases(), [$name, '_undrop'])), "\n";
