// Logins with TLS on go-sql-driver: each connects, asks SELECT 1 and leaves. Prints their number and
// how many have resumed a session. Arguments: host port user password authority seconds threads
// cache, where cache is `resume` or `fresh`.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

func must(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func main() {
	arg := os.Args[1:]
	pem, err := os.ReadFile(arg[4])
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	var logins, resumed int64
	secure := &tls.Config{
		RootCAs:    roots,
		ServerName: arg[0],
		VerifyConnection: func(state tls.ConnectionState) error {
			if state.DidResume {
				atomic.AddInt64(&resumed, 1)
			}
			return nil
		},
	}
	if arg[7] == "resume" {
		secure.ClientSessionCache = tls.NewLRUClientSessionCache(64)
	}
	must(mysql.RegisterTLSConfig("custom", secure))
	config := mysql.NewConfig()
	config.Net, config.Addr = "tcp", arg[0]+":"+arg[1]
	config.User, config.Passwd, config.TLSConfig = arg[2], arg[3], "custom"
	db, err := sql.Open("mysql", config.FormatDSN())
	must(err)
	db.SetMaxIdleConns(-1)
	seconds, _ := strconv.Atoi(arg[5])
	threads, _ := strconv.Atoi(arg[6])
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	var all sync.WaitGroup
	for nr := 0; nr < threads; nr++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for time.Now().Before(end) {
				var one int
				must(db.QueryRow("SELECT 1").Scan(&one))
				atomic.AddInt64(&logins, 1)
			}
		}()
	}
	all.Wait()
	fmt.Println(logins, resumed)
}
