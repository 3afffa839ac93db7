<?php
// Laravel's migrator and schema builder on a small project. Arguments: host port user password schema
require __DIR__ . '/../php-root.php';
foreach (['Support/helpers', 'Collections/helpers'] as $file) {
  require getenv('PHP_SHARE') . "/Illuminate/$file.php";
}

use Illuminate\Database\Capsule\Manager as Capsule;
use Illuminate\Database\Migrations\DatabaseMigrationRepository;
use Illuminate\Database\Migrations\Migrator;
use Illuminate\Database\Schema\Blueprint;
use Illuminate\Filesystem\Filesystem;

[, $host, $port, $username, $password, $database] = $argv;
$capsule = new Capsule();
$capsule->addConnection([
  'driver' => 'mysql', 'charset' => 'utf8mb4', 'collation' => 'utf8mb4_general_ci', 'strict' => true,
] + compact('host', 'port', 'username', 'password', 'database'));
$capsule->setAsGlobal();
$connection = Capsule::connection();
$schema = Capsule::schema();
$manager = $capsule->getDatabaseManager();
$repository = new DatabaseMigrationRepository($manager, 'migrations');
$migrator = new Migrator($repository, $manager, new Filesystem());
$paths = [__DIR__];

function say(string $what, $result): void {
  echo "$what: ", json_encode($result), "\n";
}

function attempt(string $what, callable $run): void {
  try {
    say($what, $run());
  } catch (Illuminate\Database\QueryException $error) {
    say($what, $error->getMessage());
  }
}

function migrate(): void {
  global $repository, $migrator, $paths;
  if (!$migrator->repositoryExists()) $repository->createRepository();
  $ran = $migrator->run($paths, ['step' => true]);
  say('migrate', array_map('basename', $ran));
}

function fill(): void {
  global $connection;
  $author = $connection->table('authors')->insertGetId(['name' => 'Ann']);
  foreach (['One', 'Two', 'Three'] as $title) {
    $book = $connection->table('books')->insertGetId(['author_id' => $author, 'title' => $title]);
    $connection->table('loans')->insert(['book_id' => $book]);
  }
}

function look(): void {
  global $connection, $schema;
  $names = array_map(fn($row) => array_values((array) $row)[0], $schema->getAllTables());
  sort($names);
  foreach ($names as $name) {
    $columns = join(' ', $schema->getColumnListing($name));
    echo "$name {$connection->table($name)->count()} $columns\n";
  }
  say('views', array_map(fn($row) => array_values((array) $row)[0], $schema->getAllViews()));
}

migrate();
fill();
look();
say('rollback', array_map('basename', $migrator->rollback($paths, ['step' => 1])));
look();
migrate();
look();
say('reset', array_map('basename', $migrator->reset($paths)));
look();
migrate();
fill();
// A parent isn't dropped, nor a view as a table; a list of which one is missing neither, perhaps.
attempt('drop authors', fn() => $schema->drop('authors'));
attempt('drop titles', fn() => $schema->drop('titles'));
attempt('drop missing', fn() => $schema->drop('missing'));
attempt('dropIfExists missing', fn() => $schema->dropIfExists('missing'));
look();

// migrate:fresh --drop-views is db:wipe, then a migration from the beginning.
$schema->dropAllViews();
$schema->dropAllTables();
look();
migrate();
fill();
look();

// Tests that keep no foreign keys, and a temporary table.
$schema->disableForeignKeyConstraints();
$schema->drop('books');
$schema->enableForeignKeyConstraints();
attempt('insert', fn() => $connection->table('loans')->insert(['book_id' => 9]));
$schema->create('authors', function (Blueprint $table) {
  $table->temporary();
  $table->integer('id');
});
$schema->drop('authors');
look();
$schema->create('books', function (Blueprint $table) {
  $table->id();
  $table->foreignId('author_id')->constrained();
});
attempt('insert', fn() => $connection->table('loans')->insert(['book_id' => 9]));
$schema->rename('loans', 'lent');
$schema->dropAllViews();
look();

// Parallel tests: a schema for each process, made anew.
foreach ([1, 2] as $round) {
  $one = "{$database}_test_$round";
  $schema->dropDatabaseIfExists($one);
  $schema->createDatabase($one);
  $connection->statement("USE `$one`");
  $connection->setDatabaseName($one);
  migrate();
  fill();
  look();
  if ($round === 2) $schema->dropDatabaseIfExists("{$database}_test_1");
}
$schema->dropDatabaseIfExists("{$database}_test_2");
$connection->disconnect();
$connection->setDatabaseName($database);
$connection->reconnect();
$schema->dropAllTables();
migrate();
fill();
look();
