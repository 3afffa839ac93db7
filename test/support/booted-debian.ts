/**
 * A clean Debian 12 whose systemd is process 1 of its own namespaces: what a package does to a
 * machine can be tried there. It has the network of this machine, and a control group of its own.
 * The tree comes from debootstrap, once, into the cache; each boot takes a copy. Invariant: when it
 * is disposed of, no process, mount, control group or file of it is left.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ensureAptRoot,
  findMainSource,
  inRoot,
  readDistribution,
} from '../../throwaway-servers/apt-root.js';
import { ensureCached } from '../../throwaway-servers/cache.js';
import { runCommand, tryCommand } from '../../throwaway-servers/run-command.js';
import { laying, temporaryFolder } from './folders.js';
import { until } from './poll.js';
import { childrenOf } from './proxy.js';

const SUITE = 'bookworm';
/** `minbase` has no systemd. */
const PACKAGES = ['systemd', 'systemd-sysv', 'dbus', 'procps', 'iproute2'];
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
const NAMESPACES = ['mount', 'pid', 'uts', 'ipc', 'cgroup'];

/**
 * In the new namespaces. The devices are those that every container has; the kernel's variables,
 * which the machine has too, can't be written.
 */
const BOOT = `set -e
mount --bind "$0" "$0"
cd "$0"
mount -t proc proc proc
mount -o bind,ro proc/sys proc/sys
mount -t sysfs -o ro sysfs sys || mount --rbind /sys sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do
  touch dev/$name
  mount --bind /dev/$name dev/$name
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
exec env -i container=undrop-test PATH=${PATH} chroot . /lib/systemd/systemd --system`;

export type BootedDebian = Awaited<ReturnType<typeof bootDebian>>;

/** Needs root; rejects with the reason where namespaces can't be made. */
export async function bootDebian() {
  if (process.getuid?.() !== 0) throw new Error('A Debian of its own can be booted by root alone.');
  const tree = await ensureTree();
  const temporary = await temporaryFolder('debian');
  const folder = join(temporary.path, 'root');
  await runCommand(['cp', '--archive', '--reflink=auto', tree, folder]);
  // Without one it is a first boot, which enables services that touch the network.
  await writeFile(join(folder, 'etc/machine-id'), `${randomBytes(16).toString('hex')}\n`);
  const group = await makeGroup();
  const enterGroup = 'echo $$ > "$0/cgroup.procs" && exec "$@"';
  const unshare = ['unshare', ...NAMESPACES.map((name) => `--${name}`)];
  const options = ['--fork', '--kill-child', '--propagation', 'private', 'sh', '-c', BOOT, folder];
  const child = spawn('sh', ['-c', enterGroup, group, ...unshare, ...options], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'exit');
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-10_000);
  });
  let init: string | undefined;
  /** Runs a program in it, as root, whatever its exit code. */
  const attempt = (...argv: readonly string[]) => {
    const enter = ['nsenter', '--target', init ?? '', ...NAMESPACES.map((name) => `--${name}`)];
    const env = ['env', '-i', `PATH=${PATH}`, 'HOME=/root', 'DEBIAN_FRONTEND=noninteractive'];
    return tryCommand([...enter, '--root', '--wd', ...env, ...argv]);
  };
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
    if (init !== undefined) await until(() => !existsSync(`/proc/${init}`), 'Debian has ended');
    await removeGroup(group);
    await temporary[Symbol.asyncDispose]();
  };
  try {
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`Debian does not boot: ${errors}`);
      init ??= childrenOf(child.pid)[0]?.toString();
      if (init === undefined || !isSystemd(init)) return false;
      const { stdout } = await attempt('systemctl', 'is-system-running');
      return ['running', 'degraded'].includes(stdout.trim());
    }, 'Debian is up');
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    /** Its tree, seen from this machine; not what it has mounted, such as /run and /tmp. */
    folder,
    attempt,
    /** The same; rejects where it fails. */
    run: async (...argv: readonly string[]) => {
      const { code, stdout, stderr } = await attempt(...argv);
      if (code !== 0) throw new Error(`${argv.join(' ')}: ${code}\n${stdout}\n${stderr}`);
      return stdout;
    },
    [Symbol.asyncDispose]: stop,
  };
}

function ensureTree(): Promise<string> {
  const made = ensureCached(laying.cache, `debian-${SUITE}.v1`, async (folder) => {
    const set = { key: 'debootstrap', suite: SUITE, packages: ['debootstrap'] };
    const tools = await ensureAptRoot(set, laying);
    laying.say('debian: debootstrap …');
    const distribution = readDistribution();
    const source = distribution && findMainSource(distribution);
    if (!source) throw new Error('apt has no source for the distribution');
    const programs = join(folder, 'programs');
    await mkdir(programs);
    // It downloads by wget, which a machine may not have.
    await makeWrapper(join(programs, 'wget'), inRoot(tools, 'usr/bin/wget'));
    const keyring = source.signedBy === null ? [] : [`--keyring=${source.signedBy}`];
    const options = ['--variant=minbase', `--include=${PACKAGES.join(',')}`, ...keyring];
    const script = join(tools, 'root/usr/sbin/debootstrap');
    await runCommand(['sh', script, ...options, SUITE, join(folder, 'root'), source.uri], {
      env: {
        DEBOOTSTRAP_DIR: join(tools, 'root/usr/share/debootstrap'),
        PATH: `${process.env['PATH']}:${PATH}:${programs}`,
      },
      deadlineMs: 900_000,
    });
  });
  return made.then((folder) => join(folder, 'root'));
}

/** A program of a private root under a plain name. */
export async function makeWrapper(path: string, argv: readonly string[]): Promise<void> {
  await writeFile(path, `#!/bin/sh\nexec ${argv.map((word) => `'${word}'`).join(' ')} "$@"\n`);
  await chmod(path, 0o755);
}

/** Systemd takes the control group that it is in for the whole machine's. */
async function makeGroup(): Promise<string> {
  const { stdout } = await runCommand([
    ...['findmnt', '--noheadings', '--output=TARGET', '-t', 'cgroup2'],
  ]);
  const group = join(stdout.split('\n')[0] ?? '', `undrop-test-${process.pid}`);
  await mkdir(group);
  return group;
}

async function removeGroup(group: string): Promise<void> {
  await runCommand(['find', group, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';']);
}

function isSystemd(pid: string): boolean {
  return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'systemd';
}
