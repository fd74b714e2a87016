/** A part of a stream that can be read by itself. */
export interface YamlPiece {
  readonly text: string;
  /** Where it begins. */
  readonly line: number;
  /** Why it is not to be read; for the user. */
  readonly problem?: string | undefined;
}

/** A tree of them is many times as large. What is larger is read item by item where it is a list. */
const PIECE_LIMIT_BYTES = 4 * 1024 * 1024;
const WHOLE_LIMIT_BYTES = 1024 * 1024;

/** What has no image of its own, however much it speaks of them: schemas, and texts for programs. */
const PASSED_OVER = /^kind:[ \t]*["']?(?:CustomResourceDefinition|ConfigMap|Secret)["']?[ \t]*(?:#.*)?\r?$/m;
const TEMPLATE = /\{\{-?\s*(?:\.(?:Values|Release|Chart|Capabilities)\b|(?:include|template)\s+")/;

/**
 * Splits a stream of documents, and a large document that is a list (as `kubectl get -o yaml` prints it) further. What
 * names no image is left out: most of what charts bring along.
 */
export function* yamlPieces(text: string): Generator<YamlPiece> {
  let line = 1;
  for (const document of linesBeginning(text, isMarker)) {
    if (!PASSED_OVER.test(document) && !isBlank(document)) yield* piecesOf(document, line);
    line += lineBreaks(document);
  }
}

function* piecesOf(document: string, firstLine: number): Generator<YamlPiece> {
  const template = TEMPLATE.exec(document);
  if (template !== null) {
    const line = firstLine + lineBreaks(document.slice(0, template.index));
    yield { text: '', line, problem: 'it is a template: give what it is rendered to (helm template)' };
    return;
  }
  const isLarge = document.length > WHOLE_LIMIT_BYTES && /^- /m.test(document) && !/[\s,[]&\w/.test(document);
  let line = firstLine;
  // Below a key, all that belongs to it is indented, but for a list's items.
  for (const text of isLarge ? linesBeginning(document, isTopLevel) : [document]) {
    const isTooLarge = text.length > PIECE_LIMIT_BYTES;
    yield { text, line, ...(isTooLarge && { problem: `it is larger than ${PIECE_LIMIT_BYTES} bytes` }) };
    line += lineBreaks(text);
  }
}

/** A line that begins so ends a document wherever it stands, also within a text (YAML 1.2, 9.1.4). */
function isMarker(text: string, at: number): boolean {
  return text.startsWith('---', at) && /^\s?$/.test(text.charAt(at + 3));
}

/** An item of a list, or a key. */
function isTopLevel(text: string, at: number): boolean {
  return text.startsWith('- ', at) || /^[A-Za-z]$/.test(text.charAt(at));
}

/** The text in pieces, each of which but the first begins with such a line. */
function* linesBeginning(text: string, begins: (text: string, at: number) => boolean): Generator<string> {
  let from = 0;
  for (let at = text.indexOf('\n') + 1; at !== 0; at = text.indexOf('\n', at) + 1)
    if (at < text.length && begins(text, at)) {
      yield text.slice(from, at);
      from = at;
    }
  yield text.slice(from);
}

/** Nothing but a marker, directives and comments. */
function isBlank(document: string): boolean {
  return !/^(?!---\s*$)[ \t]*[^\s#%]/m.test(document);
}

function lineBreaks(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}
