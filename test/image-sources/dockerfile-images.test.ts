import { expect, test } from 'vitest';
import { imagesIn } from '../../src/image-sources/images-in.ts';
import { processorMs } from '../support/processor-time.ts';

function found(text: string, variables: Record<string, string> = {}, name = 'Dockerfile') {
  const { images, problems } = imagesIn({ name, text }, { variables });
  return {
    images: images.map((image) => `${image.place.replace(`${name}:`, '')} ${image.text}`),
    problems: problems.map(({ place, message }) => `${place.replace(`${name}:`, '')} ${message}`),
  };
}

test('a build in stages is read: its bases, what it copies and mounts from, what reads it', () => {
  const text = `# syntax=docker/dockerfile:1.10
# A comment.
ARG GO=1.24
ARG BASE="gcr.io/distroless/static" \\
    VARIANT=nonroot
FROM --platform=$BUILDPLATFORM golang:\${GO}-alpine AS Build
ARG GO=9
RUN --mount=type=cache,target=/root/.cache --mount=type=bind,from=busybox:1.36,target=/b \\
    # FROM not/this:1
    --mount=type=bind,from=build,target=/c go build

RUN <<EOF
FROM heredoc/not:1
COPY --from=heredoc/not:2 a b
EOF
FROM build AS test
COPY --chown=1:1 --from=ghcr.io/org/tool:v1 /tool /
COPY --from=0 /a /a
COPY --from=BUILD /b /b
RUN echo --mount=from=not/a-flag:1
FROM scratch AS empty
onbuild copy --from=alpine:3 / /
FROM $BASE:\${VARIANT:-root}
COPY --from=empty / /
`;
  expect(found(text)).toEqual({
    images: [
      '1 docker/dockerfile:1.10',
      '6 golang:1.24-alpine',
      '8 busybox:1.36',
      '17 ghcr.io/org/tool:v1',
      '22 alpine:3',
      '23 gcr.io/distroless/static:nonroot',
    ],
    problems: [],
  });
});

test('build arguments: defaults, the environment for those without, and what is missing', () => {
  const text = 'ARG A\nARG B=$A-b\nARG C\nFROM img:$B\nFROM img:$C\nFROM ${D}\nFROM img:${A#v}\nFROM\n';
  expect(found(text, { A: 'v1' })).toEqual({
    images: ['4 img:v1-b'],
    problems: [
      '5 "img:$C": C has neither a default nor a value in the environment',
      '6 "${D}": D has neither a default nor a value in the environment',
      expect.stringMatching(/^7 .*what stands in \$\{A…\} is none of/),
      '8 FROM names no image',
    ],
  });
});

test('a base that depends on the platform is a problem, unless stages stand for the platforms', () => {
  const text =
    'FROM a:1 AS base-amd64\nFROM b:1 AS base-arm64\nFROM base-${TARGETARCH}\nFROM other/${TARGETARCH}:1\n';
  expect(found(text)).toEqual({
    images: ['1 a:1', '2 b:1'],
    problems: ['4 "other/${TARGETARCH}:1": which image that is depends on TARGETARCH'],
  });
});

test('the escape character may be another one, and lines may end as on Windows', () => {
  expect(found('# escape=`\r\nFROM `\r\n  a/b:1 `\r\n  AS x\r\nRUN c:\\\r\nFROM x\r\n').images).toEqual([
    '2 a/b:1',
  ]);
});

test.each(['Containerfile', 'app.Dockerfile', 'Dockerfile.dev', 'build/anything', 'standard input'])(
  '%s is known for a Dockerfile',
  (name) => {
    expect(found('ARG A=1\n\n# x\nFROM a/b:$A\nRUN x\n', {}, name).images).toEqual(['4 a/b:1']);
  },
);

test('one that is no real Dockerfile is not worked on for long', () => {
  const tookMs = processorMs(() => {
    expect(found('FROM a\n'.repeat(200_000)).problems).toEqual([
      'Dockerfile it is too long for a Dockerfile',
    ]);
    for (const line of ['ARG A=1\\\n', 'ARG A=$A$A\n', 'RUN <<A <<B\n', 'ARG \\\n', 'ARG A="\n'])
      found(line.repeat(100_000), { A: 'a' });
    for (const line of ['ARG A=1\\\n', 'ARG \\\n']) found(line.repeat(10_000), {}, 'any');
  });
  expect(tookMs).toBeLessThan(10_000);
});
