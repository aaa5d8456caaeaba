/** Request validation by TypeBox: unknown keys are refused, query strings are converted to their types. */

import { OverdubError } from '@overdub/core';
import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';

/** Fastify validator compiler; rejects with INPUT_INVALID that names the place and the key. */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const where = httpPart === 'querystring' ? 'query' : (httpPart ?? 'request');
  return (data: unknown) => {
    const value = where === 'query' || where === 'params' ? Value.Convert(schema, data) : data;
    const problem = unknownKey(schema, value) ?? firstProblem(schema, value);
    return problem === undefined
      ? { value }
      : {
          error: new OverdubError(
            'INPUT_INVALID',
            `In the ${where}: ${problem}.`,
            'See /api/v1/openapi.json for what is expected.',
          ),
        };
  };
};

function unknownKey(schema: TSchema, value: unknown): string | undefined {
  const properties = (schema as { properties?: Readonly<Record<string, unknown>> }).properties;
  if (properties === undefined || typeof value !== 'object' || value === null) return undefined;
  const unknown = Object.keys(value).find((key) => !Object.hasOwn(properties, key));
  const allowed = Object.keys(properties).map((key) => `\`${key}\``);
  return unknown === undefined
    ? undefined
    : `\`${unknown}\` does not exist (allowed: ${allowed.join(', ') || 'nothing'})`;
}

function firstProblem(schema: TSchema, value: unknown): string | undefined {
  if (Value.Check(schema, value)) return undefined;
  const error = Value.Errors(schema, value)[0];
  const path = error?.instancePath.split('/').slice(1).join('.') ?? '';
  return path === '' ? (error?.message ?? 'malformed') : `\`${path}\` ${error?.message}`;
}
