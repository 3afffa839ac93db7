/**
 * A Java program on MariaDB Connector/J: logs in with TLS, creates, drops and prints what it sees.
 * Arguments: host port user password schema options, where options are of the connector.
 */
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

public class Tls {
  public static void main(String[] arg) throws Exception {
    String url = "jdbc:mariadb://" + arg[0] + ":" + arg[1] + "/" + arg[4] + "?" + arg[5];
    try (Connection connection = DriverManager.getConnection(url, arg[2], arg[3])) {
      String[] texts = {
        "CREATE TABLE books (id INT PRIMARY KEY, title VARCHAR(40))",
        "INSERT INTO books VALUES (1, 'one'), (2, 'two')",
        "CREATE TABLE loans (id INT PRIMARY KEY)",
        "DROP TABLE books, loans",
        "DROP TABLE IF EXISTS books",
        "DROP TABLE books",
        "CREATE TABLE books (id INT PRIMARY KEY)",
      };
      for (String text : texts) run(connection, text);
      try (PreparedStatement statement = connection.prepareStatement("DROP TABLE books")) {
        System.out.println("prepared - " + statement.executeUpdate());
      }
      List<String> tables = new ArrayList<>();
      try (Statement statement = connection.createStatement();
          ResultSet rows = statement.executeQuery("SHOW TABLES")) {
        while (rows.next()) tables.add(rows.getString(1));
      }
      System.out.println(tables);
      try (Statement statement = connection.createStatement();
          ResultSet rows = statement.executeQuery("SHOW STATUS LIKE 'Ssl_cipher'")) {
        rows.next();
        System.out.println("secure: " + !rows.getString(2).isEmpty());
      }
    } catch (SQLException error) {
      System.out.println("failed: " + error.getMessage());
      System.exit(1);
    }
  }

  private static void run(Connection connection, String text) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      int count = statement.executeUpdate(text);
      System.out.println(text + " - " + count + " " + statement.getWarnings());
    } catch (SQLException error) {
      System.out.println(text + " - " + error.getErrorCode() + " " + error.getSQLState());
    }
  }
}
