"""The attacks and bad inputs that this server was built against, each with its tests.

A row that has no test says why it cannot have one. The tests named here run against a server
process over raw sockets wherever the row concerns the wire, on both of aiohttp's parsers
(`attacked` in tests/web/conftest.py), and each of them ends with the same look around: no fault
of ours in the log, the victim answers at once and is unchanged, no file but the expected ones.
"""

from __future__ import annotations

NUMBERS = "tests/web/test_bad_input_numbers.py::"
PATHS = "tests/web/test_bad_input_paths.py::"
PLANTED = "tests/web/test_bad_input_planted.py::"
FRAMING = "tests/web/test_bad_input_framing.py::"
CONNECTIONS = "tests/web/test_bad_input_connections.py::"
METADATA = "tests/web/test_bad_input_metadata.py::"
IDENTITY = "tests/web/test_bad_input_identity.py::"
CONCAT = "tests/web/test_bad_input_concat.py::"
CHECKSUM = "tests/web/test_bad_input_checksum.py::"
STATUS = "tests/web/test_status.py::"
STATE = "tests/web/test_bad_input_state.py::"
FLOODS = "tests/web/test_bad_input_floods.py::"
LOG = "tests/program/test_log.py::"
METRICS = "tests/telemetry/test_metrics.py::"
LIMITS = "tests/faults/test_network_limits.py::"
TOKENS = "tests/web/test_tokens.py::"
ACCESS = "tests/service/test_access.py::"
FILE_TYPES = "tests/web/test_filetypes.py::"
OWNERS = "tests/web/test_hooks_and_owners.py::"
ON_A_CONNECTION = "tests/web/test_connection.py::"
EXPIRY = "tests/service/test_expiry.py::"
FUZZ = "tests/fuzz/test_parsers.py::"
DOWNLOAD = "tests/web/test_download.py::"
HOOK_REPLIES = "tests/web/test_hook_replies.py::"
HOOK_SETTINGS = "tests/program/test_hooks.py::"
HTTP_HOOKS = "tests/hooks/test_http.py::"
COMMAND_HOOKS = "tests/hooks/test_command.py::"
SIGNING = "tests/hooks/test_signing.py::"

# --- lengths, offsets and other numbers
ROWS: dict[str, tuple[str, ...]] = {
    "A01 signs": (
        NUMBERS + "test_a_length_that_is_no_number_is_refused",
        NUMBERS + "test_an_offset_that_is_no_number_is_refused",
        NUMBERS + "test_a_declared_length_that_is_no_number_is_refused",
    ),
    "A02 spellings": (NUMBERS + "test_a_length_that_is_no_number_is_refused",),
    "A03 digits of other alphabets": (NUMBERS + "test_a_length_that_is_no_number_is_refused",),
    "A04 repeated fields": (
        NUMBERS + "test_a_length_sent_twice_is_refused",
        NUMBERS + "test_an_offset_sent_twice_is_refused",
    ),
    "A05 huge lengths": (NUMBERS + "test_a_length_above_the_limit_is_too_large",),
    "A06 no length, or two kinds": (NUMBERS + "test_a_creation_has_one_kind_of_length",),
    "A07 no offset": (NUMBERS + "test_an_offset_that_is_missing_is_refused",),
    "A08 another offset": (NUMBERS + "test_another_offset_is_told_the_right_one",),
    "A09 deferred lengths": (
        NUMBERS + "test_a_deferred_length_must_fit",
        NUMBERS + "test_a_length_is_declared_once",
    ),
    "A10 a body known to be too long": (NUMBERS + "test_a_body_known_to_be_too_long_is_not_read",),
    "A11 a body that turns out too long": (
        NUMBERS + "test_a_chunked_body_that_is_too_long_is_dropped",
        NUMBERS + "test_a_chunked_body_above_the_limit_is_dropped",
    ),
    "A12 empty PATCHes": (
        NUMBERS + "test_an_empty_patch_changes_nothing",
        FLOODS + "test_ten_thousand_empty_patches_cost_no_write",
        EXPIRY + "test_an_empty_patch_renews_nothing",
    ),
    "A13 a Content-Length near 2**63": (NUMBERS + "test_a_body_known_to_be_too_long_is_not_read",),
    "A15 no bytes at all": (NUMBERS + "test_an_upload_of_no_bytes_is_complete_at_once",),
    "A16 Content-Length in doubt": (
        NUMBERS + "test_a_content_length_that_is_no_number_is_refused",
    ),
    # --- paths and ids
    "A20 traversal": (PATHS + "test_a_path_that_is_no_upload_looks_missing",),
    "A21 escaped twice": (PATHS + "test_a_path_that_is_no_upload_looks_missing",),
    "A22 backslashes": (PATHS + "test_a_path_that_is_no_upload_looks_missing",),
    "A23 NUL": (PATHS + "test_a_path_that_is_no_upload_looks_missing",),
    "A24 line breaks, other alphabets": (PATHS + "test_a_path_that_is_no_upload_looks_missing",),
    "A25 raw dots and slashes": (
        PATHS + "test_a_path_that_is_no_upload_looks_missing",
        PATHS + "test_paths_beside_ours_are_404_or_405",
    ),
    "A26 side files, devices, long names": (
        PATHS + "test_the_side_files_of_an_upload_are_no_uploads",
        CONCAT + "test_a_reference_to_nothing_looks_missing",
    ),
    "A27 DELETE on all of them": (PATHS + "test_a_path_that_is_no_upload_looks_missing",),
    "A28 links, pipes, folders in place of files": (
        PLANTED + "test_what_is_no_file_is_not_written",
        PLANTED + "test_what_is_no_file_is_not_read",
        PLANTED + "test_at_most_the_link_is_removed",
        PLANTED + "test_a_record_that_is_a_link_is_not_followed",
    ),
    "A29 a directory swapped for a link": (
        PLANTED + "test_a_directory_that_became_a_link_is_not_followed",
        "tests/filesystem/test_calls.py::test_a_folder_that_became_a_link_is_not_followed",
    ),
    # --- framing
    "A30 Transfer-Encoding in doubt": (
        FRAMING + "test_a_body_whose_framing_is_in_doubt_is_not_read",
    ),
    "A31 a compressed transfer": (FRAMING + "test_a_body_whose_framing_is_in_doubt_is_not_read",),
    "A32 chunks on HTTP/1.0": (FRAMING + "test_chunks_need_http_1_1",),
    "A33 other versions": (
        FRAMING + "test_other_versions_are_not_spoken",
        FRAMING + "test_http_1_0_is_spoken",
    ),
    "A34 no last chunk": (FRAMING + "test_a_chunked_body_that_breaks_off_is_not_complete",),
    "A35 chunk sizes": (FRAMING + "test_chunks_that_are_none_end_the_connection",),
    "A36 a million chunks, long extensions": (
        FRAMING + "test_a_million_tiny_chunks_are_refused",
        FRAMING + "test_a_chunk_extension_is_ignored_or_refused",
        FRAMING + "test_short_chunks_are_one_body_however_many",
    ),
    "A37 trailers": (
        FRAMING + "test_a_trailer_that_was_not_announced_is_refused",
        FRAMING + "test_a_trailer_cannot_change_the_framing",
        FRAMING + "test_chunks_that_are_none_end_the_connection",
        "tests/web/test_connection.py::test_no_request_gets_fields_from_the_trailer_before_it",
    ),
    "A38 heads that are none": (FRAMING + "test_a_head_that_is_none_is_refused",),
    "A39 pipelines": (
        CONNECTIONS + "test_pipelined_bodies_keep_their_frames",
        CONNECTIONS + "test_behind_pipelined_chunks_the_connection_ends",
        CONNECTIONS + "test_a_request_behind_a_refused_body_is_not_part_of_it",
        CONNECTIONS + "test_an_early_answer_leaves_the_connection_framed_or_closed",
    ),
    "A3a Expect": (
        CONNECTIONS + "test_who_asks_first_is_refused_without_sending",
        OWNERS + "test_authorisation_comes_before_the_body",
    ),
    "A3b Upgrade": (CONNECTIONS + "test_an_upgrade_is_ignored",),
    "A3c half-closed connections": (
        CONNECTIONS + "test_a_whole_request_before_a_half_close_is_answered",
        CONNECTIONS + "test_half_a_request_before_a_half_close_is_told_so",
    ),
    "A3d Host": (CONNECTIONS + "test_a_host_that_is_none_is_refused",),
    "A3e absolute targets": (CONNECTIONS + "test_the_authority_of_an_absolute_target_is_ignored",),
    "A3f Content-Encoding": (CONNECTIONS + "test_an_encoded_body_is_not_read",),
    "A3g bodies where none belong": (
        CONNECTIONS + "test_a_body_where_none_belongs_is_read_away",
        CONNECTIONS + "test_a_delete_with_a_body_deletes",
    ),
    "A3h methods": (CONNECTIONS + "test_a_method_that_is_none_of_ours_is_refused",),
    "A3i replayed requests": (CONNECTIONS + "test_a_request_replayed_is_told_the_offset",),
    # --- metadata and what is reflected
    "A40 keys": (METADATA + "test_metadata_that_is_none_is_refused",),
    "A41 base64": (METADATA + "test_metadata_that_is_none_is_refused",),
    "A42 file names": (
        METADATA + "test_metadata_is_repeated_byte_for_byte",
        DOWNLOAD + "test_a_name_is_told_in_two_spellings",
    ),
    "A43 file types": (DOWNLOAD + "test_no_type_is_given_that_a_browser_would_run",),
    "A44 long metadata": (METADATA + "test_metadata_that_is_too_long_is_refused",),
    "A45 every byte": (METADATA + "test_metadata_is_repeated_byte_for_byte",),
    "A46 metadata in logs": (
        FLOODS + "test_a_log_line_is_one_line_whatever_was_sent",
        LOG + "test_a_terminal_gets_colours_and_nothing_that_a_client_has_sent_as_it_is",
        METRICS + "test_no_label_comes_from_a_client",
    ),
    "A47 markup in errors": (METADATA + "test_errors_are_plain_text_without_echo",),
    "A48 not UTF-8": (
        METADATA + "test_a_known_field_that_is_not_utf_8_is_refused",
        METADATA + "test_other_fields_may_be_any_bytes",
    ),
    "A49 files that are two things": (
        DOWNLOAD + "test_no_type_is_given_that_a_browser_would_run",
        FILE_TYPES + "test_an_executable_that_says_it_is_a_video",
    ),
    # --- identity, hosts, CORS
    "A50 guessing ids": (IDENTITY + "test_ids_cannot_be_guessed",),
    "A51 telling missing from foreign": (
        IDENTITY + "test_missing_and_malformed_ids_look_the_same",
        OWNERS + "test_who_may_not_ask_cannot_tell_what_there_is",
        OWNERS + "test_missing_and_foreign_uploads_take_the_same_steps",
    ),
    "A52 uploads of others": (
        OWNERS + "test_to_others_an_upload_looks_missing",
        TOKENS + "test_a_whole_upload_with_a_token",
        TOKENS + "test_a_damaged_upload_looks_missing_to_others",
        STATUS + "test_foreign_looks_like_missing",
    ),
    "A53 permissions withdrawn": (
        OWNERS + "test_a_permission_that_is_withdrawn_ends_an_upload",
        ACCESS + "test_a_permission_withdrawn_during_the_last_body",
        TOKENS + "test_grace_saves_an_upload_whose_token_ends",
    ),
    "A54 X-HTTP-Method-Override": (
        IDENTITY + "test_the_override_counts_before_everything_else",
        IDENTITY + "test_an_override_that_is_no_method_is_refused",
        IDENTITY + "test_two_overrides_are_refused",
        OWNERS + "test_head_never_tells_of_a_fault_of_ours",
    ),
    "A55 forms of other pages": (IDENTITY + "test_a_form_of_another_page_does_nothing",),
    "A56 origins": (IDENTITY + "test_another_origin_is_refused",),
    "A57 credentials for every origin": (
        STATE + "test_credentials_for_every_page_are_a_mistake_at_the_start",
    ),
    "A58 Host in Location": (
        CONNECTIONS + "test_a_host_that_is_none_is_refused",
        STATE + "test_a_base_url_beats_whatever_host_is_named",
    ),
    "A59 X-Forwarded-*": (
        IDENTITY + "test_forwarded_hosts_are_not_believed",
        STATE + "test_only_the_proxies_that_are_named_are_believed",
        "tests/web/test_place.py::test_whoever_is_no_proxy_of_ours_is_not_believed",
    ),
    "A5a caches": (IDENTITY + "test_nothing_but_a_download_may_be_cached",),
    # --- concatenation
    "A60 parts of others": (OWNERS + "test_others_cannot_join_an_upload",),
    "A61 foreign references": (CONCAT + "test_a_foreign_reference_is_refused",),
    "A62 what is no part": (
        CONCAT + "test_only_partial_uploads_are_parts",
        CONCAT + "test_an_unfinished_part_is_waited_for",
    ),
    "A63 too many parts, too long together": (
        CONCAT + "test_too_many_parts_are_refused",
        CONCAT + "test_the_sum_of_parts_is_bounded",
    ),
    "A64 parts that go": (CONCAT + "test_a_part_that_is_terminated_looks_missing",),
    "A65 A+B and B+A": (CONCAT + "test_two_finals_of_the_same_parts_do_not_wait_for_each_other",),
    "A66 other forms": (
        CONCAT + "test_another_form_is_refused",
        CONCAT + "test_a_final_has_nothing_of_its_own",
    ),
    "A67 finals": (CONCAT + "test_a_final_stays_as_it_is",),
    # --- checksums
    "A70 no checksum": (
        CHECKSUM + "test_a_checksum_that_is_none_is_refused",
        CHECKSUM + "test_a_checksum_sent_twice_is_refused",
    ),
    "A71 mismatch": (
        CHECKSUM + "test_a_body_with_another_checksum_is_dropped",
        CHECKSUM + "test_a_first_body_with_another_checksum_creates_nothing",
    ),
    "A72 a verified body cut short": (
        CHECKSUM + "test_a_verified_body_that_breaks_off_is_dropped",
        CHECKSUM + "test_a_checksum_of_the_bytes_before_the_break_is_no_help",
    ),
    "A73 a path for a checksum": (CHECKSUM + "test_a_checksum_that_is_none_is_refused",),
    "A74 checksums in trailers": (
        CHECKSUM + "test_header_and_trailer_exclude_each_other",
        CHECKSUM + "test_a_trailer_needs_chunks",
        CHECKSUM + "test_an_announced_trailer_has_to_be_right",
        FRAMING + "test_a_trailer_that_was_not_announced_is_refused",
    ),
    "A75 a huge verified chunk": (
        FLOODS + "test_a_large_verified_body_takes_little_memory",
        CHECKSUM + "test_a_large_verified_body_does_not_hold_up_others",
    ),
    # --- exhaustion
    "A80 slow heads": (LIMITS + "test_slow_heads_have_a_deadline",),
    "A81 slow bodies": (
        LIMITS + "test_a_body_that_trickles_is_cut",
        LIMITS + "test_a_slow_body_is_not_cut",
        "tests/web/test_body.py::test_silence_ends_a_body",
    ),
    "A82 many tiny PATCHes": (
        EXPIRY + "test_an_empty_patch_renews_nothing",
        FLOODS + "test_ten_thousand_empty_patches_cost_no_write",
    ),
    "A83 idle connections": (
        LIMITS + "test_too_many_connections_are_turned_away",
        LIMITS + "test_one_address_cannot_take_all",
    ),
    "A84 downloads nobody reads": (LIMITS + "test_one_that_never_reads_its_download_is_cut",),
    "A85 pipelining floods": (FLOODS + "test_a_flood_of_pipelined_requests_is_answered_in_order",),
    "A86 endless refused bodies": (
        LIMITS + "test_a_refused_body_is_read_away_within_bounds",
        "tests/web/test_body.py::test_reading_away_is_bounded",
    ),
    "A87 creation floods": (
        "tests/program/test_limits.py::test_workers_share_the_counts",
        "tests/program/test_limits.py::test_creations_a_minute",
        "tests/contracts/test_ledger.py::test_a_storm_never_exceeds_a_limit",
    ),
    "A88 huge declarations": (
        FLOODS + "test_a_declared_length_takes_no_room",
        "tests/program/test_limits.py::test_bytes_are_refused_before_they_come",
        "tests/contracts/test_ledger.py::test_sums_of_the_largest_are_exact",
    ),
    "A89 a full disk": (
        "tests/data/test_disk.py::*",
        "tests/filesystem/test_calls.py::*",
        "tests/program/test_limits.py::test_a_full_volume",
        "tests/service/test_bounds.py::*",
    ),
    "A8b one upload, many writers": ("tests/service/test_handover.py::test_everybody_gets_a_turn",),
    "A8c a flood of HEADs": (FLOODS + "test_a_flood_of_heads_leaves_every_byte",),
    "A8d compression bombs": (CONNECTIONS + "test_an_encoded_body_is_not_read",),
    "A8e random paths": (
        FLOODS + "test_a_log_line_is_one_line_whatever_was_sent",
        METRICS + "test_no_label_comes_from_a_client",
    ),
    "A8f ranges": (
        DOWNLOAD + "test_other_ranges_get_everything",
        DOWNLOAD + "test_a_part_that_is_not_there_is_told_the_size",
    ),
    "A8g many keys": (METADATA + "test_metadata_that_is_none_is_refused",),
    "A8h slow regular expressions": (
        "tests/fuzz/test_parsers.py::test_long_nonsense_comes_to_an_end",
    ),
    # --- expiry, state, order
    "A90 expired uploads": (EXPIRY + "test_expired_uploads_are_gone_to_clients",),
    "A91 what was removed": (STATE + "test_what_was_removed_does_not_come_back",),
    "A92 DELETE twice, while PATCH": (
        STATE + "test_a_second_delete_finds_nothing",
        "tests/service/test_handover.py::test_delete_ends_a_running_patch",
        PLANTED + "test_an_upload_without_its_bytes_can_be_removed",
    ),
    "A93 Tus-Resumable": (STATE + "test_another_version_does_nothing",),
    "A94 Content-Type": (STATE + "test_another_content_type_is_refused",),
    "A95 a lost 201": (EXPIRY + "test_a_sweep_removes_what_has_expired",),
    # --- hooks
    "A96 a URL that leads elsewhere": (HOOK_SETTINGS + "test_hooks_go_over_http_only",),
    "A97 redirects": (HTTP_HOOKS + "test_redirects_are_not_followed",),
    "A98 replies without end": (
        HTTP_HOOKS + "test_a_reply_that_never_ends_is_cut",
        HTTP_HOOKS + "test_time_is_limited",
        HTTP_HOOKS + "test_a_bomb_stays_packed",
        COMMAND_HOOKS + "test_output_is_limited",
        COMMAND_HOOKS + "test_time_is_limited_for_all_of_the_group",
    ),
    "A99 forgery and replay": (
        SIGNING + "test_nothing_can_be_changed",
        SIGNING + "test_a_replay_is_too_old",
        SIGNING + "test_both_secrets_are_good_during_a_rotation",
    ),
    "A100 a hook that fails": (
        HOOK_REPLIES + "test_who_cannot_be_asked_has_not_agreed",
        "tests/contracts/test_hooks.py::test_a_failure_is_no_consent",
    ),
    "A101 replies that cannot be": (
        HOOK_REPLIES + "test_no_place_is_outside",
        HOOK_REPLIES + "test_a_taken_id_is_not_given_again",
        HOOK_REPLIES + "test_headers_cannot_be_smuggled",
        HOOK_REPLIES + "test_metadata_of_a_hook_is_checked",
        OWNERS + "test_an_id_that_is_none_is_the_hook_s_fault",
    ),
    "A102 secrets": (
        HTTP_HOOKS + "test_headers_are_forwarded_by_a_list",
        HTTP_HOOKS + "test_errors_tell_no_secrets",
        HOOK_SETTINGS + "test_a_bad_secret_is_found_and_kept",
        HOOK_SETTINGS + "test_a_life_is_told_by_all_means",
        COMMAND_HOOKS + "test_commands_do_not_see_our_settings",
    ),
    "A103 metacharacters": (COMMAND_HOOKS + "test_nothing_of_a_client_is_a_command",),
}

WITHOUT: dict[str, str] = {
    "A14 S3 parts": "there is no S3 store yet",
    "A8a abandoned S3 parts": "there is no S3 store yet",
}
