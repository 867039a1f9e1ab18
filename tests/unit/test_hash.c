/* test_hash.c: digests and their texts (lib/hash.c) against published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "hash.h"

/* FIPS 180-2 and RFC 1321: of "abc" and of nothing. */
static const struct {
    enum hfc_hash_kind kind;
    size_t size;
    const char *abc, *empty;
} known[] = {
    {HFC_SHA256, HFC_SHA256_SIZE,
     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {HFC_SHA1, HFC_SHA1_SIZE, "a9993e364706816aba3e25717850c26c9cd0d89d",
     "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
    {HFC_MD5, HFC_MD5_SIZE, "900150983cd24fb0d6963f7d28e17f72", "d41d8cd98f00b204e9800998ecf8427e"},
};

static void digest_is(const uint8_t *digest, size_t size, const char *want)
{
    char hex[HFC_HEX_MAX];

    hfc_hex(digest, size, hex);
    assert_string_equal(hex, want);
}

static void the_digests_are_the_published_ones(void **state)
{
    uint8_t digest[HFC_DIGEST_MAX];

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(known); i++) {
        hfc_hash_of(known[i].kind, "abc", 3, digest);
        digest_is(digest, known[i].size, known[i].abc);
        hfc_hash_of(known[i].kind, NULL, 0, digest);
        digest_is(digest, known[i].size, known[i].empty);
    }
}

static void bytes_in_pieces_give_the_same_and_finish_starts_anew(void **state)
{
    uint8_t digest[HFC_DIGEST_MAX];

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(known); i++) {
        hfc_autohash struct hfc_hash *h = hfc_hash_new(known[i].kind);
        for (int round = 0; round < 2; round++) {
            hfc_hash_add(h, "a", 1);
            hfc_hash_add(h, NULL, 0);
            hfc_hash_add(h, "bc", 2);
            hfc_hash_finish(h, digest);
            digest_is(digest, known[i].size, known[i].abc);
        }
        hfc_hash_add(h, "forgotten", 9);
        hfc_hash_reset(h);
        hfc_hash_finish(h, digest);
        digest_is(digest, known[i].size, known[i].empty);
    }
    hfc_hash_free(NULL);
}

/* As `echo hello | git hash-object --stdin` names it. */
static void a_file_gets_the_name_that_git_gives_it(void **state)
{
    uint8_t digest[HFC_SHA1_SIZE];
    hfc_autohash struct hfc_hash *h = hfc_hash_new(HFC_SHA1);

    (void)state;
    hfc_hash_git_header(h, 6);
    hfc_hash_add(h, "hello\n", 6);
    hfc_hash_finish(h, digest);
    digest_is(digest, sizeof(digest), "ce013625030ba8dba906f756967f9e9ca394464a");
    hfc_hash_git_header(h, 0);
    hfc_hash_finish(h, digest);
    digest_is(digest, sizeof(digest), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

/* RFC 4231, cases 1, 2, 6 (a key longer than a block) and 7. */
static void hmac_is_that_of_rfc_4231(void **state)
{
    uint8_t digest[HFC_SHA256_SIZE], key[131];
    const char *seven = "This is a test using a larger than block-size key and a larger than "
                        "block-size data. The key needs to be hashed before being used by the "
                        "HMAC algorithm.";

    (void)state;
    memset(key, 0x0b, sizeof(key));
    hfc_hmac_sha256(key, 20, "Hi There", 8, digest);
    digest_is(digest, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hfc_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, digest);
    digest_is(digest, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    hfc_hmac_sha256(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54, digest);
    digest_is(digest, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    hfc_hmac_sha256(key, 131, seven, strlen(seven), digest);
    digest_is(digest, 32, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
    hfc_hmac_sha256(NULL, 0, NULL, 0, digest);
    digest_is(digest, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void hex_takes_either_case_and_nothing_else(void **state)
{
    static const char *const wrong[] = {"",       "0",      "00ff",   "00ff1",  "00ff1g",
                                        "00ff1/", "00ff1:", "00ff1`", "00ff1@", "00ff1a0"};
    uint8_t bytes[3];

    (void)state;
    assert_true(hfc_unhex("00Ff1a", bytes, 3));
    assert_memory_equal(bytes, "\x00\xff\x1a", 3);
    assert_true(hfc_unhex("", bytes, 0));
    for (size_t i = 0; i < HFC_ARRAY_LEN(wrong); i++)
        if (hfc_unhex(wrong[i], bytes, 3))
            fail_msg("read as hex: %s", wrong[i]);
}

static void base64_is_that_of_rfc_4648(void **state)
{
    static const char *const texts[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                        "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    char text[16];
    uint8_t bytes[8];

    (void)state;
    for (size_t n = 0; n < HFC_ARRAY_LEN(texts); n++) {
        hfc_base64((const uint8_t *)"foobar", n, text);
        assert_string_equal(text, texts[n]);
        assert_true(hfc_unbase64(text, bytes, n));
        assert_memory_equal(bytes, "foobar", n);
        assert_false(hfc_unbase64(text, bytes, n + 1));
        if (n > 0)
            assert_false(hfc_unbase64(text, bytes, n - 1));
    }
    assert_true(hfc_unbase64("+/+/", bytes, 3));
    assert_memory_equal(bytes, "\xfb\xff\xbf", 3);
}

static void a_digest_fits_its_text(void **state)
{
    uint8_t digest[HFC_SHA256_SIZE], again[HFC_SHA256_SIZE];
    char text[HFC_BASE64_MAX];

    (void)state;
    hfc_hash_of(HFC_SHA256, "abc", 3, digest);
    hfc_base64(digest, sizeof(digest), text);
    assert_string_equal(text, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    assert_true(hfc_unbase64(text, again, sizeof(again)));
    assert_memory_equal(again, digest, sizeof(digest));
}

/* The last of them: bits that belong to no byte, so a second text of the same bytes. */
static void base64_that_is_not_canonical_is_refused(void **state)
{
    static const char *const wrong[] = {"Zg",   "Zg=",  "Zg==x", "Zg= =", "Zg=a",
                                        "=g==", "Z-==", " Zg==", "Zh=="};
    uint8_t bytes[3];

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(wrong); i++)
        if (hfc_unbase64(wrong[i], bytes, 1))
            fail_msg("read as base64: %s", wrong[i]);
    assert_false(hfc_unbase64("Zm9=", bytes, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_digests_are_the_published_ones),
        cmocka_unit_test(bytes_in_pieces_give_the_same_and_finish_starts_anew),
        cmocka_unit_test(a_file_gets_the_name_that_git_gives_it),
        cmocka_unit_test(hmac_is_that_of_rfc_4231),
        cmocka_unit_test(hex_takes_either_case_and_nothing_else),
        cmocka_unit_test(base64_is_that_of_rfc_4648),
        cmocka_unit_test(a_digest_fits_its_text),
        cmocka_unit_test(base64_that_is_not_canonical_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
