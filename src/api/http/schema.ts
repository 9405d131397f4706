/** JSON schema of the API's description. */
export type Schema = Readonly<Record<string, unknown>>;

export const text = (description: string): Schema => ({ type: 'string', description });

export const integer = (description?: string): Schema => ({
  type: 'integer',
  ...(description === undefined ? {} : { description }),
});

export const nullable = (schema: Schema): Schema => ({ ...schema, type: [schema.type, 'null'] });

export function object(properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema {
  return { type: 'object', properties, required: Object.keys(properties).filter((name) => !optional.includes(name)) };
}

export const list = (items: Schema): Schema => ({ type: 'array', items });

/** A response in JSON. */
export function json(description: string, schema: Schema): Schema {
  return { description, ...schema };
}
