/** The policy as it goes to processes of other programs. */
import { expect, test } from '@jest/globals';
import { planOf, readPolicy } from '../../../src/cli/serve/plan.js';
import { readProxySettings } from '../../../src/cli/settings.js';
import { silentLog } from '../../../src/log.js';

const stderr = { write: () => undefined };

async function planWith(env: Readonly<Record<string, string>>) {
  const all = { UNDROP_UPSTREAM: 'db:3306', UNDROP_USER: 'undrop', UNDROP_TLS: 'off', ...env };
  const loaded = readProxySettings({ env: all, stderr }, {});
  const plan = await planOf(loaded, { kept: {}, log: silentLog });
  return { loaded, settings: loaded.settings, plan };
}

test('it comes out as it went in', async () => {
  const { settings, plan } = await planWith({
    UNDROP_RULES: 'app.tmp_*: now; etl.* size<1G: hold=1d',
    UNDROP_REQUIRE_IDLE: '5m',
    UNDROP_PROTECT: 'drop-table',
  });
  expect(settings).toMatchObject(readPolicy(plan.policy));
});

test('one with a setting or a value that this program does not know is refused', async () => {
  const { plan } = await planWith({});
  expect(() => readPolicy({ ...plan.policy, UNDROP_FATE: 'kind' })).toThrow('UNDROP_FATE');
  expect(() => readPolicy({ ...plan.policy, UNDROP_NOTE: 'song' })).toThrow('UNDROP_NOTE');
});

test('what outlives the processes is made once', async () => {
  const { loaded, plan } = await planWith({ UNDROP_TLS: 'offered' });
  const again = await planOf(loaded, { kept: plan.kept, log: silentLog });
  expect(again.kept).toEqual(plan.kept);
  expect(plan.kept).toMatchObject({
    ownCertificate: { cert: expect.stringMatching(/^-----BEGIN/) },
    serviceId: expect.stringMatching(/^[0-9a-f]{32}$/),
  });
});
