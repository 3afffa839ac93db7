/** The page that asks for an account of the server. */
import { type Html, html } from '../web/html.js';
import { BASE } from './layout.js';

export function signInPage({
  next,
  problem,
}: {
  readonly next: string;
  readonly problem: string | null;
}): Html {
  return html`${problem !== null && html`<p class="flash bad" role="alert">${problem}</p>`}
<form method="post" action="${BASE}/sign-in" class="box">
<p>With an account of the MySQL or MariaDB server: the console offers what this account may do by SQL.</p>
<input type="hidden" name="next" value="${next}">
<p><label>User <input name="user" autocomplete="username" required autofocus></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password"></label></p>
<p><button>Sign in</button></p>
</form>`;
}
