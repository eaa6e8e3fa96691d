// A world for stories in a real browser: people and seeders with real programs on loopback, in temporary homes, gone at the end. Nothing
// is waited for but conditions, and none for ever.

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Where the programs are; a development build reads the page from `web/dist`. */
const PROGRAMS = resolve(import.meta.dirname, process.env.COBOX_PROGRAMS ?? '../../target/debug');
/** The longest anything ordinary may take on a busy machine. */
export const PATIENCE_MS = 60_000;
const LOOK_AGAIN_MS = 50;
const STOP_MS = 15_000;

export async function until<T>(what: string, look: () => Promise<T | null | undefined | false>): Promise<T> {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found !== null && found !== undefined && found !== false) return found;
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((then) => setTimeout(then, LOOK_AGAIN_MS));
  }
}

export class Computer {
  readonly #dir: string;
  readonly #program: string;
  /** What the first start is told; later ones keep name and port. */
  readonly #up: readonly string[];
  #begun = false;
  #service: ChildProcess | null = null;

  constructor(dir: string, program: string, up: readonly string[]) {
    [this.#dir, this.#program, this.#up] = [dir, join(PROGRAMS, program), up];
    mkdirSync(join(dir, 'home'), { recursive: true, mode: 0o700 });
    mkdirSync(join(dir, 'documents'), { recursive: true });
  }

  /** Where a folder of this name lies. */
  folder(name: string): string {
    return join(this.#dir, 'documents', name);
  }

  /** The person's own directory. */
  get directory(): string {
    return this.#dir;
  }

  get #options() {
    return { cwd: this.#dir, env: { HOME: this.#dir, PATH: `${join(this.#dir, 'bin')}:${process.env.PATH ?? ''}` }, timeout: PATIENCE_MS };
  }

  /** Types a command with --json; what it printed. */
  async type(...args: string[]): Promise<any> {
    const { stdout } = await run(this.#program, ['--home', join(this.#dir, 'home'), '--json', ...args], this.#options);
    return JSON.parse(stdout);
  }

  /** Starts the service and waits until it answers. */
  async up(): Promise<this> {
    const begins = this.#begun ? [] : this.#up;
    this.#begun = true;
    const child = spawn(this.#program, ['--home', join(this.#dir, 'home'), '--json', 'up', '--foreground', ...begins], {
      ...this.#options,
      timeout: 0,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#service = child;
    let said = '';
    child.stderr?.on('data', (some: Buffer) => (said = (said + some.toString()).slice(-4_000)));
    const answers = new Promise<void>((then) => child.stdout?.once('data', () => then()));
    const ended = new Promise<never>((_, broken) => child.once('exit', (code) => broken(new Error(`ended with ${code}: ${said}`))));
    ended.catch(() => {});
    await Promise.race([answers, ended]);
    return this;
  }

  async down(): Promise<void> {
    const child = this.#service;
    this.#service = null;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((then) => child.once('exit', then));
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(late);
  }

  /** Stops the seeder that was started from this person's page, if one was. */
  async stopOwnSeeder(): Promise<void> {
    await run(join(PROGRAMS, 'cobox-seeder'), ['down'], this.#options).catch(() => {});
  }

  /** A link that opens the page once. */
  async link(): Promise<string> {
    return (await this.type('open', '--print')).url;
  }
}

export class World {
  readonly #dir = mkdtempSync(join(tmpdir(), 'cobox-web-'));
  readonly #computers: Computer[] = [];

  /** A member's computer with its service running. */
  async person(name: string, computer = name): Promise<Computer> {
    const up = ['--name', name, '--listen', '127.0.0.1:0'];
    const made = this.#add(new Computer(join(this.#dir, computer), 'cobox', up));
    writeFileSync(join(made.directory, 'home', 'config.toml'), 'lan_discovery = false\n');
    return made.up();
  }

  /** A seeder with its service running. */
  async seeder(name: string): Promise<Computer> {
    return this.#add(new Computer(join(this.#dir, name), 'cobox-seeder', ['--name', name, '--listen', '127.0.0.1:0'])).up();
  }

  #add(computer: Computer): Computer {
    this.#computers.push(computer);
    return computer;
  }

  async end(): Promise<void> {
    await Promise.all(this.#computers.map((computer) => computer.down().then(() => computer.stopOwnSeeder())));
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
