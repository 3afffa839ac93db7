<?php
// The script of php-mysql for the matrix of clients: mysqli and PDO, both on mysqlnd.
// Arguments: mysqli|pdo host port user password schema file tls|plain
[, $driver, $host, $port, $user, $password, $schema, $infile, $tls] = $argv;
define('TLS', $tls === 'tls');
const UNICODE = 'Grüße, 漢字, Ωμέγα, 😀';
const BIG_RESULT = "SELECT a.id + 10 * b.id + 100 * c.id + 1000 * d.id AS i, REPEAT('x', 100)
  FROM n AS a, n AS b, n AS c, n AS d ORDER BY i";
$kept = [1, UNICODE, '12345.67', '2026-02-28 23:59:59', "\x00\xff"];

function step(string $title, callable $run): void {
  try {
    $said = json_encode($run(), JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE);
  } catch (mysqli_sql_exception $error) {
    $said = "{$error->getCode()} ({$error->getSqlState()}) {$error->getMessage()}";
  } catch (PDOException $error) {
    $said = "{$error->getCode()} " . json_encode($error->errorInfo) . " {$error->getMessage()}";
  }
  if (strlen($said) > 10000) $said = strlen($said) . ' ' . hash('sha256', $said);
  echo "$title: $said\n";
}

function dropSteps(callable $rows, callable $prepared): void {
  $steps = [
    ['DROP TABLE a', $rows], ['SELECT * FROM a', $rows],
    ['DROP TABLE IF EXISTS b', $prepared], ['SHOW WARNINGS', $rows],
    ['DROP TABLE IF EXISTS missing', $prepared], ['SHOW WARNINGS', $rows],
    ['DROP TABLE missing', $prepared], ['SHOW WARNINGS', $rows],
    ['DROP TABLE IF EXISTS c, `d`', $rows], ['SHOW TABLES', $rows],
  ];
  foreach ($steps as [$text, $run]) step($text, fn() => $run($text, []));
}

function byMysqli($host, $port, $user, $password, $schema, $infile, $kept): void {
  mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
  $db = mysqli_init();
  $db->options(MYSQLI_OPT_LOCAL_INFILE, 1);
  $flags = TLS ? MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT : 0;
  $db->real_connect($host, $user, $password, $schema, (int) $port, null, $flags);
  $db->set_charset('utf8mb4');
  $rows = function (string $text) use ($db) {
    $result = $db->query($text);
    return is_bool($result)
      ? [$db->affected_rows, $db->insert_id, $db->warning_count, $db->info]
      : $result->fetch_all();
  };
  $several = function (string $text) use ($db) {
    $all = [];
    $db->multi_query($text);
    do {
      $result = $db->store_result();
      $all[] = $result ? $result->fetch_all() : $db->affected_rows;
    } while ($db->more_results() && $db->next_result());
    return $all;
  };
  $prepared = function (string $text, array $values) use ($db) {
    $statement = $db->prepare($text);
    $statement->execute($values);
    $result = $statement->get_result();
    return $result ? $result->fetch_all() : $statement->affected_rows;
  };
  step('who', fn() => $rows('SELECT CURRENT_USER(), DATABASE()'));
  step('prepared insert', fn() => $prepared('INSERT INTO kept VALUES (?, ?, ?, ?, ?)', $kept));
  step('prepared select', fn() => $prepared('SELECT * FROM kept WHERE id = ? AND txt = ?', [1, UNICODE]));
  step('prepared with an error', fn() => $prepared('SELECT * FROM missing WHERE id = ?', [1]));
  step('begin', fn() => $db->begin_transaction());
  step('insert', fn() => $rows('INSERT INTO kept (id) VALUES (7), (8)'));
  step('rollback', fn() => $db->rollback());
  step('rows', fn() => $rows('SELECT COUNT(*) FROM kept'));
  step('several', fn() => $several("SELECT 1; SELECT 2, 'x'; DO 1; SELECT 3"));
  step('error in the second', fn() => $several('SELECT 1; SELECT * FROM missing; SELECT 2'));
  step('call', fn() => $several('CALL two()'));
  step('unicode', fn() => $prepared('SELECT ?, HEX(?)', [UNICODE, UNICODE]));
  step('cursor', function () use ($db) {
    $statement = $db->prepare('SELECT a.id FROM n AS a, n AS b');
    $statement->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
    $statement->execute();
    $result = $statement->get_result();
    $count = count($result->fetch_all());
    $statement->close();
    return $count;
  });
  step('long data', function () use ($db) {
    $statement = $db->prepare('SELECT LENGTH(?), CRC32(?)');
    $one = null;
    $other = 'short';
    $statement->bind_param('bs', $one, $other);
    foreach (['abc', str_repeat('x', 100000)] as $part) $statement->send_long_data(0, $part);
    $statement->execute();
    return $statement->get_result()->fetch_all();
  });
  step('big result', fn() => $rows(BIG_RESULT));
  step('big row', fn() => $rows("SELECT REPEAT('y', 2000000)"));
  step('missing table', fn() => $rows('SELECT * FROM missing'));
  step('syntax error', fn() => $rows('SELECT FROM WHERE'));
  step('duplicate', fn() => $rows('INSERT INTO n VALUES (1)'));
  step('infile', fn() => $rows("LOAD DATA LOCAL INFILE '$infile' INTO TABLE loaded CHARACTER SET utf8mb4 FIELDS TERMINATED BY ','"));
  step('loaded', fn() => $rows('SELECT * FROM loaded'));
  dropSteps($rows, $prepared);
  step('change user', fn() => $db->change_user($user, $password, $schema));
  step('tables', fn() => $rows('SHOW TABLES'));
  $db->close();
}

function byPdo($host, $port, $user, $password, $schema, $infile, $kept): void {
  $options = [
    PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
    PDO::ATTR_EMULATE_PREPARES => false,
    PDO::MYSQL_ATTR_LOCAL_INFILE => true,
  ];
  // A cipher is what makes it ask for TLS.
  if (TLS) {
    $options[PDO::MYSQL_ATTR_SSL_CIPHER] = 'DEFAULT';
    $options[PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT] = false;
  }
  $dsn = "mysql:host=$host;port=$port;dbname=$schema;charset=utf8mb4";
  $db = new PDO($dsn, $user, $password, $options);
  $rows = function (string $text) use ($db) {
    if (!preg_match('/^(SELECT|SHOW|CALL)/', $text)) return $db->exec($text);
    return $db->query($text)->fetchAll(PDO::FETCH_NUM);
  };
  $prepared = function (string $text, array $values) use ($db) {
    $statement = $db->prepare($text);
    $statement->execute($values);
    return $statement->columnCount() > 0 ? $statement->fetchAll(PDO::FETCH_NUM) : $statement->rowCount();
  };
  step('who', fn() => $prepared('SELECT CURRENT_USER(), DATABASE()', []));
  step('prepared insert', fn() => $prepared('INSERT INTO kept VALUES (?, ?, ?, ?, ?)', $kept));
  step('prepared select', fn() => $prepared('SELECT * FROM kept WHERE id = ? AND txt = ?', [1, UNICODE]));
  step('prepared with an error', fn() => $prepared('SELECT * FROM missing WHERE id = ?', [1]));
  step('begin', fn() => $db->beginTransaction());
  step('insert', fn() => $rows('INSERT INTO kept (id) VALUES (7), (8)'));
  step('rollback', fn() => $db->rollBack());
  step('rows', fn() => $rows('SELECT COUNT(*) FROM kept'));
  step('call', function () use ($db) {
    $all = [];
    $statement = $db->prepare('CALL two()');
    $statement->execute();
    do {
      $all[] = $statement->columnCount() > 0 ? $statement->fetchAll(PDO::FETCH_NUM) : null;
    } while ($statement->nextRowset());
    return $all;
  });
  step('unicode', fn() => $prepared('SELECT ?, HEX(?)', [UNICODE, UNICODE]));
  step('big result', fn() => $rows(BIG_RESULT));
  step('big row', fn() => $rows("SELECT REPEAT('y', 2000000)"));
  step('syntax error', fn() => $rows('SELECT FROM WHERE'));
  step('duplicate', fn() => $rows('INSERT INTO n VALUES (1)'));
  step('infile', fn() => $rows("LOAD DATA LOCAL INFILE '$infile' INTO TABLE loaded CHARACTER SET utf8mb4 FIELDS TERMINATED BY ','"));
  $db->setAttribute(PDO::ATTR_EMULATE_PREPARES, true);
  step('emulated', fn() => $prepared('SELECT * FROM loaded WHERE id > ? AND txt <> ?', [1, UNICODE]));
  step('several', function () use ($db) {
    $all = [];
    $statement = $db->query("SELECT 1; SELECT 2, 'x'; DO 1; SELECT 3");
    do {
      $all[] = $statement->columnCount() > 0 ? $statement->fetchAll(PDO::FETCH_NUM) : null;
    } while ($statement->nextRowset());
    return $all;
  });
  $db->setAttribute(PDO::ATTR_EMULATE_PREPARES, false);
  dropSteps($rows, $prepared);
}

$run = $driver === 'pdo' ? 'byPdo' : 'byMysqli';
try {
  $run($host, $port, $user, $password, $schema, $infile, $kept);
} catch (mysqli_sql_exception | PDOException $error) {
  // Without the trace, which has the password in it.
  echo "{$error->getCode()} {$error->getMessage()}\n";
  exit(1);
}
echo "the end\n";
