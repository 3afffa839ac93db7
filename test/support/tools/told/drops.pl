# A Perl program on DBD::mysql: creates, drops and prints what it sees.
# Arguments: host port user password schema.
use strict;
use warnings;
use DBI;

my ($host, $port, $user, $password, $schema) = @ARGV;
my $dsn = "DBI:mysql:database=$schema;host=$host;port=$port";
my $db = DBI->connect($dsn, $user, $password, { RaiseError => 0, PrintError => 1 }) or exit 1;
my @texts = (
  'CREATE TABLE books (id INT)',
  'DROP TABLE books',
  'DROP TABLE IF EXISTS books',
  'CREATE TABLE books (id INT)',
);
for my $text (@texts) {
  my $count = $db->do($text) // 'undef';
  my $info = $db->{mysql_info} // '';
  print "$text - $count '$info' $db->{mysql_warning_count}\n";
}
my $drop = $db->prepare('DROP TABLE books', { mysql_server_prepare => 1 });
print 'prepared - ', $drop->execute // 'undef', "\n";
print 'left: ', scalar(@{ $db->selectall_arrayref('SHOW TABLES') }), "\n";
