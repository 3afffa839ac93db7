-- For sysbench: an event is a connection of its own with one query. Used by connects.bench.ts.
function thread_init()
  driver = sysbench.sql.driver()
end

function event()
  local connection = driver:connect()
  connection:query("SELECT 1")
  connection:disconnect()
end
