// What stories have in common: a folder with songs, two people who share it, and where things stand in the page.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateSync, crc32 } from 'node:zlib';
import type { Page } from 'playwright-core';
import { until, type Computer } from './world';

/** Makes a folder with some files, by the command line. */
export async function choir(ana: Computer, files = 3): Promise<string> {
  mkdirSync(ana.folder('Choir'));
  for (let i = 0; i < files; i++) writeFileSync(join(ana.folder('Choir'), `song ${i}.txt`), `song ${i}\n`);
  const { folder } = await ana.type('create', ana.folder('Choir'));
  await ana.type('status', '--wait', '--timeout', '60');
  return folder.id;
}

export async function offer(shed: Computer): Promise<string> {
  return (await shed.type('offer', '--space', '1GB')).offer;
}

export const card = (page: Page, name: string) => page.getByRole('article', { name });
export const tab = (page: Page, name: string) => page.getByRole('navigation', { name: 'Parts of the folder' }).getByRole('link', { name });

/** Ben joins Ana's folder and has all of it. */
export async function joins(ana: Computer, ben: Computer, folder = 'Choir'): Promise<void> {
  const { code } = await ana.type('invite', folder, '--to', (await ben.type('whoami')).cobox_key);
  await ben.type('join', code, ben.folder(folder));
  await inStep(ben, ana);
}

export async function inStep(...computers: Computer[]): Promise<void> {
  for (const computer of computers) await computer.type('status', '--wait', '--timeout', '60');
}

/** Both write the same file without seeing each other. */
export async function bothWrite(ana: Computer, ben: Computer, path: string, hers: string | Buffer, his: string | Buffer): Promise<void> {
  await ben.type('pause', 'Choir');
  writeFileSync(join(ana.folder('Choir'), path), hers);
  writeFileSync(join(ben.folder('Choir'), path), his);
  await inStep(ana, ben);
  await ben.type('resume', 'Choir');
  await until('both have both versions', async () => {
    const seen = await Promise.all([ana, ben].map((one) => one.type('conflicts', 'list', 'Choir')));
    return seen.every(({ conflicts }) => conflicts.some((conflict: { path: string }) => conflict.path === path));
  });
}

/** The next second has begun: history tells changes apart by the second. */
export async function nextSecond(): Promise<void> {
  const now = Math.floor(Date.now() / 1000);
  await until('the next second', async () => Math.floor(Date.now() / 1000) > now);
}

/** A picture of one colour. */
export function png(colour: readonly [number, number, number], width = 120, height = 80): Buffer {
  return picture(2, Buffer.alloc(width * height * 3, Buffer.from(colour)), width, height);
}

/** A picture of dots between black and white, line by line. */
export function grey(dots: Buffer, width: number, height: number): Buffer {
  return picture(0, dots, width, height);
}

/** PNG (RFC 2083) of dots of this colour type. */
function picture(type: 0 | 2, dots: Buffer, width: number, height: number): Buffer {
  const chunk = (name: string, data: Buffer) => {
    const [length, sum, named] = [Buffer.alloc(4), Buffer.alloc(4), Buffer.concat([Buffer.from(name), data])];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(named) >>> 0);
    return Buffer.concat([length, named, sum]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, type, 0, 0, 0], 8);
  const line = dots.length / height;
  const rows = Array.from({ length: height }, (_, y) => Buffer.concat([Buffer.from([0]), dots.subarray(y * line, (y + 1) * line)]));
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', head),
    chunk('IDAT', deflateSync(Buffer.concat(rows))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
