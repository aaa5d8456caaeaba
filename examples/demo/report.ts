/** The demo's play-by-play: steps with times, bytes and checks; a table at the end; JSON on request. */

import { writeFile } from 'node:fs/promises';

export interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  /** What was seen, for people. */
  readonly seen: string;
}

export interface StepReport {
  readonly name: string;
  readonly ok: boolean;
  readonly seconds: number;
  /** Bytes that the appliance and the machine exchanged in this step; 0 where nothing moved. */
  readonly bytes: number;
  readonly checks: readonly CheckResult[];
}

export interface DemoReport {
  readonly ok: boolean;
  readonly firmware: string;
  readonly seconds: number;
  readonly steps: readonly StepReport[];
  /** Present when a step could not go on. */
  readonly error?: string;
}

/** Handed to each step: it says what it sees. */
export interface Stage {
  /** Records a check; a failed one fails the demo, but the play goes on. */
  check(name: string, ok: boolean, seen?: string): void;
  moved(bytes: number): void;
  say(line: string): void;
}

const DIM = '\u001b[2m';
const GREEN = '\u001b[32m';
const RED = '\u001b[31m';
const BOLD = '\u001b[1m';
const RESET = '\u001b[0m';

/** Collects steps and prints them as they happen. Colours only on a terminal. */
export class Playbill {
  readonly #steps: StepReport[] = [];
  readonly #firmware: string;
  readonly #began = performance.now();
  readonly #colours: boolean;
  #error: string | undefined;

  constructor(firmware: string, colours = process.stdout.isTTY === true) {
    this.#firmware = firmware;
    this.#colours = colours;
  }

  /** Runs one step. What it throws is recorded and thrown on: later steps make no sense without it. */
  async step<T>(name: string, act: (stage: Stage) => Promise<T>): Promise<T> {
    const began = performance.now();
    const checks: CheckResult[] = [];
    let bytes = 0;
    let threw = false;
    this.#print(`\n${this.#paint(BOLD, `▶ ${name}`)}`);
    try {
      return await act({
        check: (label, ok, seen = '') => {
          checks.push({ name: label, ok, seen });
          this.#print(
            `  ${ok ? this.#paint(GREEN, '✓') : this.#paint(RED, '✗')} ${label}${seen === '' ? '' : this.#paint(DIM, `  ${seen}`)}`,
          );
        },
        moved: (count) => {
          bytes += count;
        },
        say: (line) => this.#print(`  ${this.#paint(DIM, line)}`),
      });
    } catch (error) {
      threw = true;
      this.#error = `${name}: ${error instanceof Error ? error.message : String(error)}`;
      this.#print(`  ${this.#paint(RED, '✗')} ${this.#error}`);
      throw error;
    } finally {
      const seconds = (performance.now() - began) / 1000;
      this.#steps.push({ name, ok: !threw && checks.every((check) => check.ok), seconds, bytes, checks });
      this.#print(
        this.#paint(DIM, `  ${formatSeconds(seconds)}${bytes === 0 ? '' : `, ${formatBytes(bytes)} moved`}`),
      );
    }
  }

  report(): DemoReport {
    return {
      ok: this.#error === undefined && this.#steps.length > 0 && this.#steps.every((step) => step.ok),
      firmware: this.#firmware,
      seconds: (performance.now() - this.#began) / 1000,
      steps: this.#steps,
      ...(this.#error === undefined ? {} : { error: this.#error }),
    };
  }

  /** Prints the closing table; writes the report as JSON when a file was named. */
  async close(file: string | undefined): Promise<DemoReport> {
    const report = this.report();
    const width = Math.max(...report.steps.map((step) => step.name.length), 4);
    this.#print('');
    this.#print(`${'step'.padEnd(width)}  ${'time'.padStart(8)}  ${'moved'.padStart(9)}  checks`);
    for (const step of report.steps) {
      const passed = step.checks.filter((check) => check.ok).length;
      const mark = step.ok ? this.#paint(GREEN, '✓') : this.#paint(RED, '✗');
      const moved = step.bytes === 0 ? '' : formatBytes(step.bytes);
      this.#print(
        `${step.name.padEnd(width)}  ${formatSeconds(step.seconds).padStart(8)}  ${moved.padStart(9)}  ${mark} ${passed}/${step.checks.length}`,
      );
    }
    this.#print(`${'total'.padEnd(width)}  ${formatSeconds(report.seconds).padStart(8)}`);
    this.#print(
      report.ok
        ? this.#paint(GREEN, '\nEvery check held.')
        : this.#paint(RED, '\nSomething did not hold; see above.'),
    );
    if (file !== undefined) await writeFile(file, `${JSON.stringify(report, null, 2)}\n`);
    return report;
  }

  #print(line: string): void {
    process.stdout.write(`${line}\n`);
  }

  #paint(colour: string, text: string): string {
    return this.#colours ? `${colour}${text}${RESET}` : text;
  }
}

export function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  return whole < 60
    ? `${seconds.toFixed(1)} s`
    : `${Math.floor(whole / 60)} m ${String(whole % 60).padStart(2, '0')} s`;
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
