/** What the agent and its receiver's thread tell one another. */

import type { MessagePort } from 'node:worker_threads';
import type { LeanRequest } from './lean-post.ts';
import type { OpenedAnswer } from './opened-answers.ts';

/** There will be no more requests. */
export const STOP = 'stop';

/** A request to send. All else about it goes through its port, which the agent closes. */
export interface Order {
  /** Without a body: {@link Sending}s bring it. */
  readonly request: Omit<LeanRequest, 'body'> & { readonly body?: Uint8Array };
  readonly port: MessagePort;
}

/** The next piece of a body, or that there are no more. */
export type Sending = { readonly send: Uint8Array } | { readonly sent: true };

/** So many bytes of answers were taken, and lie here no more. */
export interface Taken {
  readonly taken: number;
}

/** An answer, what is to be told once it was taken, and how many bytes of the body have come since the report before. */
export interface Answered extends Taken {
  readonly is: 'answer';
  readonly answer: OpenedAnswer;
  readonly received: number;
}

/** What comes of a request, in this order: it begins or is refused; answers; their end. Instead of any of them, it fails. */
export type Report =
  | { readonly is: 'begun' }
  | { readonly is: 'refused'; readonly status: number; readonly body: Uint8Array }
  | Answered
  | { readonly is: 'ended'; readonly received: number }
  /** With an error of ours as JSON, or why the connection is lost. */
  | { readonly is: 'failed'; readonly error: unknown }
  | { readonly is: 'lost'; readonly why: string };
