# A Ruby program on mysql2: creates, drops and prints what it sees.
# Arguments: host port user password schema.
require 'mysql2'

host, port, username, password, database = ARGV
login = { host: host, port: port.to_i, username: username, password: password }
client = Mysql2::Client.new(**login, database: database)
[
  'CREATE TABLE books (id INT)',
  'DROP TABLE books',
  'DROP TABLE IF EXISTS books',
  'CREATE TABLE books (id INT)',
].each do |text|
  client.query(text)
  info = client.query_info_string
  puts "#{text} - #{client.affected_rows} '#{info}' #{client.warning_count}"
end
client.prepare('DROP TABLE books').execute
puts "prepared - #{client.affected_rows}"
puts "left: #{client.query('SHOW TABLES').count}"
