import { expect, test } from 'vitest';
import { verdictOf, waitingFor, worst, type FolderStatus } from './verdict';

const member = { name: 'Ben', key: 'b', role: 'editor', you: false, online: false, in_step: false, last_seen: null } as const;
const backup = { seeder: 's', online: true, complete: true, head_at: null, receipt_at: null, audited_at: null, held_bytes: 0 };

function folder(change: Partial<FolderStatus> = {}): FolderStatus {
  return {
    id: 'ab',
    name: 'Choir',
    path: '/c',
    state: 'in_step',
    files: 1,
    bytes: 1,
    pending_files: 0,
    pending_bytes: 0,
    sent_blocks: 0,
    received_blocks: 0,
    members: [{ ...member, you: true, online: true, in_step: true }],
    backups: [],
    conflicts: 0,
    held_changes: 0,
    joins_waiting: 0,
    problems: [],
    ...change,
  };
}

test('safe is said only with a complete copy that a seeder signed for', () => {
  expect(verdictOf(folder({ backups: [backup] }))).toBe('safe');
  expect(verdictOf(folder({ backups: [{ ...backup, complete: false }] }))).toBe('alone');
  expect(verdictOf(folder({ state: 'offline' }))).toBe('alone');
  expect(verdictOf(folder({ members: [...folder().members, { ...member, online: true, in_step: true }] }))).toBe('shared');
  expect(verdictOf(folder({ members: [...folder().members, { ...member, online: true }] }))).toBe('alone');
});

test('whatever is wrong outweighs every copy', () => {
  const problem = { code: 'disk_full', path: null, message: 'm', hint: null };
  const backups = [backup];
  expect(verdictOf(folder({ backups, problems: [problem] }))).toBe('problem');
  expect(verdictOf(folder({ backups, state: 'problem' }))).toBe('problem');
  expect(verdictOf(folder({ backups, state: 'held' }))).toBe('waiting');
  expect(verdictOf(folder({ backups, state: 'paused' }))).toBe('paused');
  expect(verdictOf(folder({ backups, state: 'syncing' }))).toBe('moving');
  expect(verdictOf(folder({ backups, pending_files: 1 }))).toBe('moving');
});

test('what was only skipped is no trouble', () => {
  const skipped = { code: 'skipped', path: 'x', message: 'm', hint: null };
  expect(verdictOf(folder({ backups: [backup], problems: [skipped] }))).toBe('safe');
  expect(waitingFor(folder({ problems: [skipped], conflicts: 2, held_changes: 1 }))).toBe(3);
});

test('the verdict over all folders is the worst', () => {
  expect(worst([])).toBe('safe');
  expect(worst([folder({ backups: [backup] }), folder({ state: 'held' }), folder()])).toBe('waiting');
});

test('what is held aside needs nobody: the folder is as safe as it is', () => {
  const aside = { code: 'held_aside', path: null, message: 'm', hint: null };
  expect(verdictOf(folder({ backups: [backup], problems: [aside] }))).toBe('safe');
  expect(waitingFor(folder({ problems: [aside] }))).toBe(0);
});

test('what a reader changed here waits for them, as one thing', () => {
  const here = { code: 'only_here', path: 'a', message: 'm', hint: null };
  const edited = folder({ state: 'problem', backups: [backup], problems: [here, { ...here, path: 'b' }] });
  expect([verdictOf(edited), waitingFor(edited)]).toEqual(['waiting', 1]);
  const full = { code: 'disk_full', path: null, message: 'm', hint: null };
  expect(verdictOf(folder({ state: 'problem', problems: [here, full] }))).toBe('problem');
});

test('of who was sent away, one thing is told, however many files did not go', () => {
  const problems = [
    { code: 'removed', path: null, message: 'm', hint: null },
    { code: 'unsent', path: 'a', message: 'm', hint: null },
    { code: 'unsent', path: 'b', message: 'm', hint: null },
  ];
  const out = folder({ state: 'problem', problems });
  expect([verdictOf(out), waitingFor(out)]).toEqual(['problem', 1]);
});

test('who asks to be let in waits for a person, and leaves the folder as safe as it is', () => {
  const asked = folder({ backups: [backup], joins_waiting: 2 });
  expect([verdictOf(asked), waitingFor(asked)]).toEqual(['safe', 2]);
});

test('nothing is on its way while nobody is connected', () => {
  expect(verdictOf(folder({ backups: [backup], state: 'offline', pending_files: 3 }))).toBe('apart');
  expect(verdictOf(folder({ backups: [backup], state: 'offline' }))).toBe('safe');
});
