/** The part of JSON Schema that TypeBox writes and that messages, docs and checks read. */

/** One schema node. */
export interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | SchemaNode;
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode | readonly SchemaNode[];
  readonly anyOf?: readonly SchemaNode[];
  readonly oneOf?: readonly SchemaNode[];
  readonly allOf?: readonly SchemaNode[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly minItems?: number;
}

/** What a schema allows, in words: `"proxy" or "full"`, `an integer from 1 to 65535`. */
export function allowedText(schema: SchemaNode): string {
  if ('const' in schema) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return orList(schema.enum.map((value) => JSON.stringify(value)));
  const variants = schema.anyOf ?? schema.oneOf;
  if (variants !== undefined) return orList(variants.map(allowedText));
  switch (schema.type) {
    case 'integer':
    case 'number':
      return `${schema.type === 'integer' ? 'an integer' : 'a number'}${rangeText(schema)}`;
    case 'string':
      return stringText(schema);
    case 'boolean':
      return 'true or false';
    case 'array':
      return `a list${itemText(schema)}`;
    case 'object':
      return objectText(schema);
    default:
      return schema.type ?? 'any value';
  }
}

function rangeText({ minimum, maximum }: SchemaNode): string {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` of at least ${minimum}`;
  return maximum === undefined ? '' : ` of at most ${maximum}`;
}

function stringText(schema: SchemaNode): string {
  if (schema.pattern !== undefined) return `a string like ${schema.pattern}`;
  return schema.minLength === undefined || schema.minLength === 0 ? 'a string' : 'a non-empty string';
}

function itemText(schema: SchemaNode): string {
  if (schema.items === undefined || Array.isArray(schema.items)) return '';
  return ` of ${allowedText(schema.items as SchemaNode).replace(/^an? /, '')}`;
}

function objectText(schema: SchemaNode): string {
  const keys = Object.keys(schema.properties ?? {});
  return keys.length === 0 ? 'an object' : `an object with ${keys.map((key) => `\`${key}\``).join(', ')}`;
}

function orList(words: readonly string[]): string {
  if (words.length < 2) return words[0] ?? 'nothing';
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
