/** Every error ends here: code, message and what to do next. */

import { OverdubError, toOverdubError } from '../errors.ts';
import { UsageError } from './command.ts';
import type { Environment } from './environment.ts';

/** Tells an error as people, or with `json` programs, read it. Returns the exit code: 1 failed, 2 usage. */
export function report(error: unknown, json: boolean, environment: Pick<Environment, 'err'>): number {
  if (error instanceof UsageError) {
    environment.err(
      json
        ? `${JSON.stringify({ error: { code: 'INPUT_INVALID', message: error.message, remedy: '' } })}\n`
        : `${error.message}\nSee \`overdub --help\`.\n`,
    );
    return 2;
  }
  const coded =
    error instanceof OverdubError ? error : toOverdubError(error, 'INTERNAL', 'Please report this.');
  environment.err(json ? `${JSON.stringify({ error: coded.toJSON() })}\n` : formatError(coded));
  return 1;
}

function formatError({ code, message, remedy }: OverdubError): string {
  return `${code}: ${message}\n${remedy === '' ? '' : `→ ${remedy}\n`}`;
}
