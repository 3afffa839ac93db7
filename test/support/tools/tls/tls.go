// A Go program on database/sql and go-sql-driver: logs in with TLS of a mode, creates, drops and
// prints what it sees. Arguments: host port user password schema mode [authority in PEM].
package main

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"fmt"
	"os"

	"github.com/go-sql-driver/mysql"
)

func must(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func column(db *sql.DB, text string) []string {
	rows, err := db.Query(text)
	must(err)
	defer rows.Close()
	values := []string{}
	for rows.Next() {
		var value string
		must(rows.Scan(&value))
		values = append(values, value)
	}
	must(rows.Err())
	return values
}

func main() {
	arg := os.Args[1:]
	config := mysql.NewConfig()
	config.Net = "tcp"
	config.Addr = arg[0] + ":" + arg[1]
	config.User, config.Passwd, config.DBName = arg[2], arg[3], arg[4]
	config.TLSConfig = arg[5]
	config.AllowNativePasswords = true
	if len(arg) > 6 {
		pem, err := os.ReadFile(arg[6])
		must(err)
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			fmt.Println("failed: no certificate in", arg[6])
			os.Exit(1)
		}
		// What `tls=true` does, with this authority in the place of the machine's own.
		must(mysql.RegisterTLSConfig("custom", &tls.Config{RootCAs: roots, ServerName: arg[0]}))
		config.TLSConfig = "custom"
	}
	db, err := sql.Open("mysql", config.FormatDSN())
	must(err)
	defer db.Close()
	must(db.Ping())
	var name, cipher string
	must(db.QueryRow("SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher))
	for _, text := range []string{
		"CREATE TABLE books (id INT PRIMARY KEY, title VARCHAR(40))",
		"INSERT INTO books VALUES (1, 'one'), (2, 'two')",
		"CREATE TABLE loans (id INT PRIMARY KEY)",
		"DROP TABLE books, loans",
		"DROP TABLE IF EXISTS books",
		"DROP TABLE books",
		"CREATE TABLE books (id INT PRIMARY KEY)",
	} {
		result, err := db.Exec(text)
		if err != nil {
			fmt.Println(text, "-", err)
			continue
		}
		affected, err := result.RowsAffected()
		must(err)
		fmt.Println(text, "-", affected)
	}
	statement, err := db.Prepare("DROP TABLE books")
	must(err)
	_, err = statement.Exec()
	must(err)
	must(statement.Close())
	fmt.Println(column(db, "SHOW TABLES"))
	fmt.Println("secure:", cipher != "")
}
