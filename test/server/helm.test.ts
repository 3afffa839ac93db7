/**
 * The chart, as Helm renders it with each of `deploy/helm/examples/`: what Kubernetes would get
 * names no Secret that the values don't name, has no password, and runs with the least rights. And
 * the workflows of continuous integration, as far as they can be read without running them: they
 * are YAML, and run scripts, test files and versions that there are.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectFolder } from '../support/folders.js';
import { parseYaml, runHelm } from '../support/helm.js';
import { listFiles, readText } from '../support/source-file.js';

const CHART = join(projectFolder, 'deploy/helm/undrop');
const EXAMPLES = join(projectFolder, 'deploy/helm/examples');
const EXAMPLE_NAMES = readdirSync(EXAMPLES).map((file) => file.replace(/\.yaml$/, ''));
/** The API of each kind. */
const KINDS: Readonly<Record<string, string>> = {
  Deployment: 'apps/v1',
  Service: 'v1',
  PodDisruptionBudget: 'policy/v1',
  NetworkPolicy: 'networking.k8s.io/v1',
  ServiceMonitor: 'monitoring.coreos.com/v1',
};

interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: Readonly<Record<string, unknown>>;
}

type Probe = { readonly httpGet: { readonly path: string; readonly port: string } };

interface Container {
  readonly image: string;
  readonly securityContext: object;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly envFrom?: readonly { readonly secretRef: { readonly name: string } }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
}

interface PodSpec {
  readonly automountServiceAccountToken: boolean;
  readonly terminationGracePeriodSeconds: number;
  readonly securityContext: object;
  readonly containers: readonly Container[];
  readonly volumes: readonly {
    readonly name: string;
    readonly secret?: { readonly secretName: string; readonly defaultMode: number };
  }[];
}

interface Deployment {
  readonly replicas: number;
  readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
  readonly template: {
    readonly metadata: { readonly labels: Readonly<Record<string, string>> };
    readonly spec: PodSpec;
  };
}

async function render(name: string): Promise<readonly Resource[]> {
  const { code, stdout, stderr } = await template('--values', join(EXAMPLES, `${name}.yaml`));
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return (await parseYaml(stdout)) as readonly Resource[];
}

function template(...args: readonly string[]) {
  return runHelm(['template', 'shop', CHART, ...args]);
}

function deploymentOf(resources: readonly Resource[]): Deployment {
  const found = resources.filter(({ kind }) => kind === 'Deployment');
  expect(found).toHaveLength(1);
  return found[0]?.spec as unknown as Deployment;
}

function containerOf(deployment: Deployment): Container {
  const [container, ...others] = deployment.template.spec.containers;
  if (container === undefined || others.length > 0) throw new Error('not one container');
  return container;
}

function variablesOf({ env }: Container): Readonly<Record<string, string>> {
  return Object.fromEntries(env.map(({ name, value }) => [name, value]));
}

/** Each thing that is named `existingSecret`, and the Secret of settings. */
function secretsOf(values: unknown): readonly string[] {
  if (typeof values !== 'object' || values === null) return [];
  return Object.entries(values).flatMap(([key, value]) =>
    key === 'existingSecret' || key === 'settingsSecret' ? [String(value)] : secretsOf(value),
  );
}

describe.each(EXAMPLE_NAMES)('the chart with the values %s', (name) => {
  test('has nothing that Helm objects to', async () => {
    const file = join(EXAMPLES, `${name}.yaml`);
    const { code, stdout } = await runHelm(['lint', '--strict', CHART, '--values', file]);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringContaining('1 chart(s) linted, 0 chart(s) failed'),
    });
  });

  test('is made of kinds that there are, all with the labels that select the pods', async () => {
    const resources = await render(name);
    for (const { kind, apiVersion, metadata } of resources) {
      expect(apiVersion).toBe(KINDS[kind]);
      expect(metadata.name).toMatch(/^[a-z][a-z0-9-]{0,62}$/);
      expect(metadata.labels['app.kubernetes.io/instance']).toBe('shop');
    }
    const { selector, template: pod } = deploymentOf(resources);
    expect(pod.metadata.labels).toMatchObject(selector.matchLabels);
    for (const { spec } of resources.filter(({ kind }) => kind === 'Service')) {
      expect(pod.metadata.labels).toMatchObject(spec['selector'] as object);
    }
  });

  test('runs with the least rights, on a file system that it can not write', async () => {
    const deployment = deploymentOf(await render(name));
    const { securityContext, automountServiceAccountToken } = deployment.template.spec;
    expect(automountServiceAccountToken).toBe(false);
    expect(securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: 1000,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(containerOf(deployment).securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    const mounted = containerOf(deployment).volumeMounts;
    expect(mounted).toContainEqual({ name: 'tmp', mountPath: '/tmp' });
  });

  test('names the Secrets of the values alone, and has no password', async () => {
    const [values] = await parseYaml(readFileSync(join(EXAMPLES, `${name}.yaml`), 'utf8'));
    const deployment = deploymentOf(await render(name));
    const container = containerOf(deployment);
    const { volumes } = deployment.template.spec;
    const secrets = volumes.flatMap(({ secret }) => (secret === undefined ? [] : [secret]));
    const used = [
      ...secrets.map(({ secretName }) => secretName),
      ...(container.envFrom ?? []).map(({ secretRef }) => secretRef.name),
    ];
    expect(used.sort()).toEqual([...secretsOf(values)].sort());
    for (const { defaultMode } of secrets) expect(defaultMode).toBe(0o440);
    const names = container.env.map((variable) => variable.name);
    expect(names).toEqual([...new Set(names)]);
    expect(names.filter((one) => /PASSWORD$|SECRET$/.test(one))).toEqual([]);
    const paths = container.env.filter((variable) => variable.value.startsWith('/etc/'));
    const folders = container.volumeMounts.map(({ mountPath }) => `${mountPath}/`);
    for (const { value } of paths) {
      expect(folders.filter((folder) => value.startsWith(folder))).toHaveLength(1);
    }
    const mounted = container.volumeMounts.map((mount) => mount.name);
    expect(mounted.sort()).toEqual(volumes.map((volume) => volume.name).sort());
  });

  test('is probed at a port that there is, and has time to drain', async () => {
    const deployment = deploymentOf(await render(name));
    const container = containerOf(deployment);
    const { startupProbe, livenessProbe, readinessProbe, ports } = container;
    expect([startupProbe, livenessProbe, readinessProbe].map(({ httpGet }) => httpGet)).toEqual([
      { path: '/healthz', port: 'admin' },
      { path: '/healthz', port: 'admin' },
      // Never `/readyz?drops`: a locked service account would take all proxies out of service.
      { path: '/readyz', port: 'admin' },
    ]);
    const port = Object.fromEntries(ports.map((one) => [one.name, one.containerPort]));
    const variables = variablesOf(container);
    expect(variables['UNDROP_LISTEN']).toBe(`0.0.0.0:${port['mysql']}`);
    expect(variables['UNDROP_ADMIN_LISTEN']).toBe(`0.0.0.0:${port['admin']}`);
    // No preStop hook is needed: after SIGTERM undrop waits by itself.
    const seconds = (key: string) => Number(/^(\d+)s$/.exec(variables[key] ?? '')?.[1]);
    const needed = seconds('UNDROP_DRAIN_WAIT') + seconds('UNDROP_DRAIN_TIMEOUT');
    expect(needed).toBeGreaterThan(0);
    expect(deployment.template.spec.terminationGracePeriodSeconds).toBeGreaterThan(needed);
  });
});

describe('an example', () => {
  const kindsOf = (resources: readonly Resource[]) => resources.map(({ kind }) => kind).sort();

  test('of the fewest values has two proxies, of which one may go at a time', async () => {
    const resources = await render('minimal');
    expect(kindsOf(resources)).toEqual([
      ...['Deployment', 'PodDisruptionBudget', 'Service', 'Service'],
    ]);
    expect(deploymentOf(resources).replicas).toBe(2);
  });

  test('with TLS names files that are mounted, for clients and for the server', async () => {
    const variables = variablesOf(containerOf(deploymentOf(await render('tls'))));
    expect(variables).toMatchObject({
      UNDROP_TLS: 'required',
      UNDROP_TLS_CERT: '/etc/undrop/tls/tls.crt',
      UNDROP_TLS_KEY: '/etc/undrop/tls/tls.key',
      UNDROP_UPSTREAM_CA: '/etc/undrop/upstream-ca/ca.crt',
    });
  });

  test('that is monitored has a job that the alert rules take, and closed ports', async () => {
    const resources = await render('monitored');
    const specOf = (wanted: string) => resources.find(({ kind }) => kind === wanted)?.spec;
    const job = { targetLabel: 'job', replacement: expect.stringMatching(/^undrop/) };
    const endpoints = [{ port: 'admin', interval: '15s', relabelings: [job] }];
    expect(specOf('ServiceMonitor')).toMatchObject({ endpoints });
    const label = 'kubernetes.io/metadata.name';
    expect(specOf('NetworkPolicy')?.['ingress']).toEqual([
      { ports: [{ port: 'mysql' }], from: [{ podSelector: { matchLabels: { app: 'shop' } } }] },
      {
        ports: [{ port: 'admin' }],
        from: [{ namespaceSelector: { matchLabels: { [label]: 'monitoring' } } }],
      },
    ]);
    const { env } = containerOf(deploymentOf(resources));
    expect(env).toContainEqual({ name: 'UNDROP_WORKERS', value: '4' });
  });

  test('that is hardened has no budget, and settings from a Secret', async () => {
    const resources = await render('hardened');
    expect(kindsOf(resources)).toEqual(['Deployment', 'NetworkPolicy', 'Service', 'Service']);
    const { envFrom, image } = containerOf(deploymentOf(resources));
    expect(envFrom).toEqual([{ secretRef: { name: 'undrop-settings' } }]);
    expect(image).toBe('registry.example.org/undrop:1.0.0');
  });

  test('behind a load balancer trusts its header alone', async () => {
    const resources = await render('load-balancer');
    const service = resources.find(({ spec }) => spec['type'] === 'LoadBalancer');
    expect(service?.spec['loadBalancerSourceRanges']).toEqual(['10.0.0.0/8']);
    const variables = variablesOf(containerOf(deploymentOf(resources)));
    expect(variables).toMatchObject({ UNDROP_PROXY_PROTOCOL: '10.0.0.0/16' });
  });
});

const minimal = ['--values', join(EXAMPLES, 'minimal.yaml')];

test.each([
  ['no server', ['--set', 'account.existingSecret=a'], 'upstream'],
  ['no Secret', ['--set', 'upstream=db:3306'], 'existingSecret'],
  ['a password in clear', [...minimal, '--set', 'settings.UNDROP_PASSWORD=p'], 'propertyName'],
  ['a setting that has a value', [...minimal, '--set', 'settings.UNDROP_LISTEN=a'], 'propertyName'],
  ['a word that is no variable', [...minimal, '--set', 'settings.HOLD=7d'], 'HOLD'],
  ['a value that is not there', [...minimal, '--set', 'replicas=3'], 'replicas'],
  ['a number of proxies in words', [...minimal, '--set', 'replicaCount=two'], 'replicaCount'],
])('the chart refuses %s', async (_what, args, word) => {
  const { code, stdout, stderr } = await template(...args);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toContain("values don't meet the specifications of the schema");
  expect(stderr).toContain(word);
});

const WORKFLOWS = '.github/workflows';
const FILES = readdirSync(join(projectFolder, WORKFLOWS));
/** Commands of npm itself. */
const OF_NPM = ['ci', 'pack', 'test', 'run'];

interface Job {
  readonly 'timeout-minutes': number;
  readonly steps: readonly { readonly run?: string }[];
}

/** The commands of all jobs, of which each ends. */
async function commandsOf(file: string): Promise<readonly string[]> {
  const [workflow] = await parseYaml(readText(join(WORKFLOWS, file)));
  const { jobs } = workflow as { readonly jobs: Readonly<Record<string, Job>> };
  for (const job of Object.values(jobs)) expect(job['timeout-minutes']).toBeGreaterThan(0);
  return Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ run }) => run ?? []));
}

test.each(FILES)('%s runs scripts of package.json, on files that there are', async (file) => {
  const { scripts } = JSON.parse(readText('package.json')) as { readonly scripts: object };
  const commands = await commandsOf(file);
  const used = commands.flatMap((text) => [...text.matchAll(/\bnpm (\w+)(?: ([\w:]+))?/g)]);
  expect(used.length).toBeGreaterThan(1);
  for (const [, command = '', script = ''] of used) {
    expect(OF_NPM).toContain(command);
    if (command === 'run') expect(Object.keys(scripts)).toContain(script);
  }
  const paths = commands.flatMap((text) => text.match(/\b(?:deploy|scripts)\/[\w/.-]+/g) ?? []);
  expect(paths.filter((path) => !existsSync(join(projectFolder, path)))).toEqual([]);
  const words = commands.flatMap((text) => /npm test -- (.*)/.exec(text)?.[1]?.split(' ') ?? []);
  const files = listFiles('test', ['.ts']);
  expect(words.filter((word) => !files.some((path) => path.includes(word)))).toEqual([]);
});

test('a release has the packages, the chart, the image and their checksums', async () => {
  const text = (await commandsOf('release.yml')).join('\n');
  const words = ['npm run package', 'npm pack', 'helm package', 'docker buildx', 'sha256sum'];
  for (const word of [...words, 'gh release create']) expect(text).toContain(word);
});
