import { stringify } from 'yaml';
import { commentText } from './toml-text.ts';

/** A YAML file with a comment on top and one document or several. */
export function yamlText(comment: string, ...documents: readonly object[]): string {
  const texts = documents.map((document) => stringify(document, { lineWidth: 0 }));
  return `${commentText(comment)}${texts.join('---\n')}`;
}
