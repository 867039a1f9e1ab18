/* source.c: input files and their lines; see source.h. */
#include "source.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

#include "file.h"

/* Length of the line break at p (n bytes are left), 0 if there is none. */
static size_t break_len(const char *p, size_t n)
{
    if (*p == '\n')
        return 1;
    if (*p == '\r')
        return n > 1 && p[1] == '\n' ? 2 : 1;
    if (n > 1 && memcmp(p, "\xc2\x85", 2) == 0)
        return 2;
    if (n > 2 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 || memcmp(p, "\xe2\x80\xa9", 3) == 0))
        return 3;
    return 0;
}

/* Writes the line starts to `starts` if it is not NULL, and returns how many there are. */
static uint32_t find_lines(const char *text, size_t len, uint32_t *starts)
{
    uint32_t lines = 1;

    if (starts != NULL)
        starts[0] = 0;
    for (size_t i = 0; i < len;) {
        size_t n = break_len(text + i, len - i);
        i += n > 0 ? n : 1;
        if (n == 0)
            continue;
        if (starts != NULL)
            starts[lines] = (uint32_t)i;
        lines++;
    }
    return lines;
}

/* Most inputs are never asked for a line, so the index waits until one is. */
struct source_lines {
    struct arena *arena;
    uint32_t *starts; /* NULL until then */
    uint32_t n;
};

/* Counts first, then fills an array of the right size: one that grows would leave its predecessors
 * in the arena. */
static const struct source_lines *lines_of(const struct source *src)
{
    struct source_lines *l = src->index;

    if (l->starts == NULL) {
        l->n = find_lines(src->text, src->len, NULL);
        l->starts = arena_array_of(l->arena, uint32_t, l->n);
        (void)find_lines(src->text, src->len, l->starts);
    }
    return l;
}

uint32_t source_lines(const struct source *src)
{
    return lines_of(src)->n;
}

size_t source_line_start(const struct source *src, uint32_t line)
{
    assert(line >= 1 && line <= source_lines(src));
    return lines_of(src)->starts[line - 1];
}

/* Takes over `text`, which is in the arena already. */
static const struct source *new_source(struct arena *a, const char *path, const char *text,
                                       size_t len)
{
    assert(len <= SOURCE_MAX);
    struct source *src = arena_new_of(a, struct source);
    struct source_lines *index = arena_new_of(a, struct source_lines);
    index->arena = a;
    *src = (struct source){arena_strdup(a, path), text, len, index};
    return src;
}

const struct source *source_from_text(struct arena *a, const char *path, const char *text,
                                      size_t len)
{
    return new_source(a, path, arena_strndup(a, text, len), len);
}

/* Copied from the buffer, because the arena cannot grow a text while it is read. */
int source_load(struct arena *a, const char *path, const struct source **out, struct hfc_error *err)
{
    hfc_autobuf struct hfc_buf bytes = HFC_BUF(SOURCE_MAX);

    if (hfc_file_read(AT_FDCWD, path, &bytes, err) < 0)
        return -1;
    *out = new_source(a, path, arena_strndup(a, bytes.data, bytes.len), bytes.len);
    return 0;
}

const char *source_line(const struct source *src, uint32_t line, size_t *len)
{
    size_t start = source_line_start(src, line);
    size_t end = start;
    while (end < src->len && break_len(src->text + end, src->len - end) == 0)
        end++;
    *len = end - start;
    return src->text + start;
}

/* Columns are characters, so the bytes that continue one are stepped over; malformed UTF-8 does no
 * harm, as the end of the line stops it. */
size_t source_offset(const struct source *src, uint32_t line, uint32_t col)
{
    size_t len, i = 0;
    const char *text = source_line(src, line, &len);

    assert(col >= 1);
    for (uint32_t c = 1; c < col && i < len; c++) {
        i++;
        while (i < len && ((unsigned char)text[i] & 0xc0) == 0x80)
            i++;
    }
    return source_line_start(src, line) + i;
}
