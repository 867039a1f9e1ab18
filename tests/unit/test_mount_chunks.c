/* test_mount_chunks.c: the arena's chunks (mount/chunks.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chunks.h"

enum { COUNT = 4 };

static uint8_t *arena; /* never touched: chunks only point into it */
static struct chunks *c;

static int begin(void **state)
{
    (void)state;
    arena = malloc(1);
    c = chunks_new(arena, COUNT);
    return c == NULL;
}

static int end(void **state)
{
    (void)state;
    chunks_free(c);
    chunks_free(NULL);
    free(arena);
    return 0;
}

static struct chunk *take(void)
{
    struct chunk *k;

    assert_true(chunks_take(c, &k, 1));
    return k;
}

/* A ready chunk, pinned. */
static struct chunk *publish(uint64_t blob, uint32_t block)
{
    struct chunk *k = take();

    chunk_publish(c, k, blob, block, BLOCK_SIZE);
    return k;
}

static bool is_there(uint64_t blob, uint32_t block)
{
    struct chunk *k = chunk_find(c, blob, block);

    if (k != NULL)
        chunk_unpin(c, k);
    return k != NULL;
}

static void chunks_are_pieces_of_the_arena(void **state)
{
    struct chunk *k[COUNT];
    unsigned seen = 0;

    (void)state;
    assert_true(chunks_take(c, k, COUNT));
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal((size_t)(k[i]->bytes - arena) % BLOCK_SIZE, 0);
        seen |= 1U << (size_t)(k[i]->bytes - arena) / BLOCK_SIZE;
        assert_int_equal(k[i]->pins, 1);
        assert_int_equal(k[i]->filled, 0);
        assert_false(k[i]->ready);
    }
    assert_int_equal(seen, (1U << COUNT) - 1);
    assert_int_equal(chunks_in_use(c), COUNT);
}

static void all_or_none_are_taken(void **state)
{
    struct chunk *k[COUNT];

    (void)state;
    (void)take();
    assert_false(chunks_take(c, k, COUNT));
    assert_int_equal(chunks_in_use(c), 1);
    assert_true(chunks_take(c, k, COUNT - 1));
    assert_false(chunks_take(c, k, 1));
    assert_true(chunks_take(c, k, 0));
}

static void a_chunk_given_back_is_to_be_had_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3 * COUNT; i++)
        chunk_unpin(c, take());
    assert_int_equal(chunks_in_use(c), 0);
}

static void a_published_block_is_found_and_pinned(void **state)
{
    (void)state;
    struct chunk *k = publish(10, 3);
    assert_true(k->ready);
    assert_int_equal(k->blob, 10);
    assert_int_equal(k->block, 3);
    assert_int_equal(k->filled, BLOCK_SIZE);
    assert_ptr_equal(chunk_find(c, 10, 3), k);
    assert_int_equal(k->pins, 2);
    assert_null(chunk_find(c, 10, 4));
    assert_null(chunk_find(c, 12, 3));
    chunk_unpin(c, k);
    chunk_unpin(c, k);
    assert_int_equal(chunks_in_use(c), 0);
    assert_ptr_equal(chunk_find(c, 10, 3), k); /* still there when nobody pins it */
    assert_int_equal(chunks_in_use(c), 1);
}

static void the_last_block_may_be_short(void **state)
{
    (void)state;
    struct chunk *k = take();
    chunk_publish(c, k, 10, 0, 17);
    assert_int_equal(k->filled, 17);
}

static void the_one_not_used_for_longest_is_taken_first(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++)
        chunk_unpin(c, publish(10, i));
    assert_true(is_there(10, 0)); /* now block 1 is the oldest */
    struct chunk *k = take();
    assert_int_equal(k->filled, 0);
    assert_false(is_there(10, 1));
    assert_true(is_there(10, 0));
    assert_true(is_there(10, 2));
    assert_true(is_there(10, 3));
}

static void free_ones_go_before_ready_ones(void **state)
{
    (void)state;
    chunk_unpin(c, publish(10, 0));
    struct chunk *k = take();
    chunk_unpin(c, k);
    for (unsigned i = 1; i < COUNT; i++)
        (void)take();
    assert_true(is_there(10, 0));
}

static void a_pinned_chunk_is_never_taken(void **state)
{
    struct chunk *k[COUNT];

    (void)state;
    (void)publish(10, 0);
    assert_true(chunks_take(c, k, COUNT - 1));
    assert_false(chunks_take(c, k, 1));
    assert_true(is_there(10, 0));
}

static void of_a_block_loaded_twice_the_first_stays_known(void **state)
{
    (void)state;
    struct chunk *first = publish(10, 0), *second = publish(10, 0);
    assert_true(first->ready);
    assert_false(second->ready);
    assert_int_equal(second->filled, BLOCK_SIZE); /* who pins it may use it */
    assert_ptr_equal(chunk_find(c, 10, 0), first);
    chunk_unpin(c, second);
    assert_ptr_equal(take(), second);
}

static void a_dropped_blob_is_forgotten(void **state)
{
    (void)state;
    chunk_unpin(c, publish(10, 0));
    struct chunk *pinned = publish(10, 1);
    chunk_unpin(c, publish(12, 0));
    chunks_drop(c, 10);
    assert_false(is_there(10, 0));
    assert_false(is_there(10, 1));
    assert_true(is_there(12, 0));
    assert_int_equal(pinned->filled, BLOCK_SIZE);
    assert_int_equal(chunks_in_use(c), 1);
    chunk_unpin(c, pinned);
    assert_ptr_equal(take(), pinned);
}

static void a_chunk_being_filled_survives_a_drop(void **state)
{
    (void)state;
    struct chunk *k = take();
    chunks_drop(c, 10);
    chunks_drop(c, 0);
    chunk_publish(c, k, 10, 0, BLOCK_SIZE);
    assert_true(is_there(10, 0));
}

/* Against a simple model: what was published last, and not taken again, is what is found. */
static void many_random_steps_keep_the_books_right(void **state)
{
    enum { MANY = 64, STEPS = 200000 };
    struct chunks *many = chunks_new(arena, MANY);
    struct chunk *held[MANY];
    unsigned n = 0, rnd = 1;

    (void)state;
    for (unsigned i = 0; i < STEPS; i++) {
        rnd = rnd * 1103515245 + 12345;
        unsigned what = rnd >> 16 & 7, blob = 1 + (rnd >> 19 & 7), block = rnd >> 22 & 15;
        struct chunk *k;
        if (what < 3 && n < MANY && chunks_take(many, &k, 1)) {
            held[n++] = k;
            if (what < 2)
                chunk_publish(many, k, blob, block, block);
        } else if (what < 6 && n > 0) {
            unsigned which = rnd >> 8 & 0xff;
            k = held[which % n];
            n--;
            held[which % (n + 1)] = held[n];
            chunk_unpin(many, k);
        } else if (what == 6 && n < MANY && (k = chunk_find(many, blob, block)) != NULL) {
            assert_true(k->ready && k->blob == blob && k->block == block && k->filled == block);
            held[n++] = k;
        } else if (what == 7 && block == 0) {
            chunks_drop(many, blob);
            assert_null(chunk_find(many, blob, 1));
        }
        assert_true(chunks_in_use(many) <= n);
    }
    while (n > 0)
        chunk_unpin(many, held[--n]);
    assert_int_equal(chunks_in_use(many), 0);
    assert_true(chunks_take(many, held, MANY));
    for (unsigned blob = 1; blob < 9; blob++)
        for (unsigned block = 0; block < 16; block++)
            assert_null(chunk_find(many, blob, block));
    chunks_free(many);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(chunks_are_pieces_of_the_arena),
        TEST(all_or_none_are_taken),
        TEST(a_chunk_given_back_is_to_be_had_again),
        TEST(a_published_block_is_found_and_pinned),
        TEST(the_last_block_may_be_short),
        TEST(the_one_not_used_for_longest_is_taken_first),
        TEST(free_ones_go_before_ready_ones),
        TEST(a_pinned_chunk_is_never_taken),
        TEST(of_a_block_loaded_twice_the_first_stays_known),
        TEST(a_dropped_blob_is_forgotten),
        TEST(a_chunk_being_filled_survives_a_drop),
        TEST(many_random_steps_keep_the_books_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
