/// Expands to one test per check of [`state_store`](crate::state_store).
///
/// The argument names an `async fn() -> Fixture` in the calling module; every test gets a
/// fixture of its own.
#[macro_export]
macro_rules! state_store_suite {
    ($make:ident) => {
        $crate::checks! { $make, state_store,
            items {
                missing_item_is_none,
                put_item_is_returned_whole,
                put_replaces_everything,
                deleted_item_is_gone,
                delete_of_nothing_succeeds,
                check_changes_nothing,
                same_sort_key_in_another_partition_is_another_item,
                key_parts_are_not_joined,
                documents_round_trip,
                strings_round_trip,
                keys_with_any_character_round_trip,
                deep_document_round_trips,
                expiry_and_index_round_trip,
                read_sees_every_commit_that_returned,
            }
            expectations {
                absent_holds_for_nothing_only,
                version_holds_for_that_write_only,
                version_of_a_missing_item_conflicts,
                version_of_another_item_conflicts,
                any_holds_always,
                every_write_gets_a_fresh_version,
                version_is_not_reused_after_a_delete,
                conflict_carries_the_first_failed_write,
                conflict_carries_the_standing_item,
                conflict_writes_nothing,
                failed_check_stops_every_write,
                versions_are_returned_per_write,
                delete_under_an_expectation,
            }
            limits {
                largest_document_fits,
                larger_document_is_too_large,
                size_is_counted_in_bytes_of_compact_json,
                most_writes_fit,
                more_writes_are_refused,
                no_writes_are_refused,
                repeated_key_is_refused,
                longest_keys_fit,
                longer_keys_are_refused,
                empty_keys_are_refused,
                rules_come_before_expectations,
                page_limits_are_kept,
            }
            expiry {
                item_is_absent_from_its_expiry_on,
                item_that_is_put_expired_is_absent,
                absent_holds_for_an_expired_item,
                version_of_an_expired_item_conflicts,
                expired_item_can_be_deleted_and_checked,
                expired_items_are_not_listed,
                expired_items_do_not_end_a_listing,
                expired_items_leave_the_index,
                put_without_expiry_takes_the_old_one_away,
            }
            listing {
                empty_partition_lists_nothing,
                order_is_bytewise,
                descending_is_the_reverse,
                partition_is_exact,
                prefix_is_literal,
                prefix_may_end_in_the_last_character,
                prefix_itself_is_listed,
                items_are_listed_whole,
                deleted_items_are_not_listed,
            }
            paging {
                pages_lose_and_double_nothing,
                limit_may_change_between_pages,
                page_may_be_read_twice,
                deleted_items_do_not_move_the_next_page,
                inserted_items_do_not_move_the_next_page,
                cursor_of_another_query_is_refused,
                garbage_cursor_is_refused,
                cursor_survives_its_text_form,
            }
            index {
                items_are_listed_by_their_index_key,
                items_without_an_index_key_are_not_listed,
                items_may_share_an_index_key,
                shared_index_keys_page_without_loss,
                changed_index_key_moves_the_item,
                dropped_index_key_removes_the_item,
                deleted_item_leaves_the_index,
                index_and_table_are_apart,
                index_prefix_and_order,
            }
            counters {
                counter_starts_at_zero,
                counter_may_go_below_zero,
                upper_bound_is_inclusive,
                lower_bound_is_inclusive,
                bound_is_on_the_new_value,
                bound_of_a_new_counter_holds,
                counter_stays_within_its_type,
                counter_restarts_when_it_expires,
                standing_counter_keeps_its_expiry,
                counters_are_apart_from_items,
                counters_with_like_keys_are_apart,
                counter_keys_are_checked,
            }
            additions {
                additions_happen_with_the_other_writes,
                lone_addition_is_a_commit,
                reached_bound_stops_every_write,
                conflict_adds_nothing,
                first_failure_is_told,
                overflow_is_a_reached_bound,
                expired_counter_counts_as_absent,
                item_and_counter_share_a_key,
                bounds_hold_under_concurrency,
            }
            races {
                one_of_many_creates,
                one_of_many_updates,
                one_of_many_overlapping_commits_wins,
                no_update_is_lost,
                transfers_keep_the_sum,
                adds_sum_up,
                bounded_adds_stop_at_the_bound,
            }
        }
    };
}

/// Expands to one test per check of [`ledger`](crate::ledger).
///
/// The argument names an `async fn() -> ledger::Fixture` in the calling module; every test gets a
/// fixture of its own.
#[macro_export]
macro_rules! ledger_suite {
    ($make:ident) => {
        $crate::checks! { $make, ledger,
            reserve {
                reservation_counts_against_the_cap,
                reservation_is_whole_or_not_at_all,
                lowered_cap_leaves_nothing,
                windows_are_accounts_of_their_own,
                account_without_a_cap_is_counted,
                repeated_reservation_changes_nothing,
                id_is_not_used_for_other_charges,
                overflow_is_refused,
                bad_reservations_are_refused,
            }
            settle {
                settlement_replaces_the_reservation,
                unused_reservation_leaves_nothing,
                second_settlement_changes_nothing,
                overshoot_is_charged_in_full,
                bad_settlements_are_refused,
                settlement_goes_to_the_window_of_the_reservation,
            }
            expiry {
                expired_reservation_counts_as_used,
                late_settlement_corrects_the_estimate,
                forgotten_reservation_stays_charged,
                forgotten_window_is_not_settled,
                sweep_returns_each_estimate_once,
            }
            races {
                concurrent_reservations_stop_at_the_cap,
                concurrent_settlements_settle_once,
                caps_hold_whatever_fails,
            }
        }
    };
}

/// Expands to one test per check of [`limiter`](crate::limiter).
///
/// The argument names an `async fn() -> limiter::Fixture` in the calling module; every test gets
/// a fixture of its own.
#[macro_export]
macro_rules! limiter_suite {
    ($make:ident) => {
        $crate::checks! { $make, limiter,
            admission {
                requests_are_counted_and_refused,
                unlimited_tokens_are_not_reserved,
                refused_request_counts_for_nothing,
                keys_are_apart,
                slot_is_held_until_the_admission_goes,
            }
            tokens {
                bound_is_reserved,
                settled_request_counts_what_it_used,
                overshoot_is_charged_in_full,
                unsettled_reservation_counts_as_used,
                bound_above_the_limit_stands_alone,
                bound_of_zero_needs_something_left,
            }
            windows {
                window_starts_anew_after_its_reset,
                tokens_are_settled_where_they_were_reserved,
                late_settlement_changes_nothing,
            }
            races {
                requests_stop_at_the_limit,
                tokens_never_pass_the_limit,
            }
        }
    };
}

/// Expands to one test per check of [`demand`](crate::demand).
///
/// The argument names an `async fn() -> demand::Fixture` in the calling module; every test gets a
/// fixture of its own.
#[macro_export]
macro_rules! demand_suite {
    ($make:ident) => {
        $crate::checks! { $make, demand,
            reading {
                model_that_nobody_asked_for_has_no_demand,
                models_are_apart,
                unreadable_demand_is_an_error,
            }
            waiting {
                waiting_requests_are_held,
                waiting_request_is_an_arrival,
                arrival_outlives_its_request,
            }
            running {
                request_counts_on_its_replica,
                unused_replica_has_no_use,
                ended_request_leaves_its_use,
                request_in_progress_is_not_an_arrival,
                use_outlives_the_replica,
            }
        }
    };
}

/// Expands to one test per check of [`logs`](crate::logs).
///
/// The argument names an `async fn() -> logs::Fixture` in the calling module; every test gets a
/// fixture of its own.
#[macro_export]
macro_rules! logs_suite {
    ($make:ident) => {
        $crate::checks! { $make, logs,
            tail {
                model_that_never_ran_has_no_log,
                short_log_comes_whole,
                newest_log_is_read,
                tail_begins_at_a_line,
                bytes_that_are_not_text_are_replaced,
            }
            following {
                reading_continues_where_it_ended,
                nothing_new_is_an_empty_text,
                pieces_make_up_the_whole,
                older_log_is_read_by_its_claim,
                unknown_claim_has_no_log,
            }
        }
    };
}

/// Expands to one test per check of [`wake`](crate::wake).
///
/// The argument names an `async fn() -> wake::Fixture` in the calling module; every test gets a
/// fixture of its own.
#[macro_export]
macro_rules! wake_suite {
    ($make:ident) => {
        $crate::checks! { $make, wake,
            asking {
                receiver_is_told_the_topic,
                topics_are_apart,
                repeated_wake_ups_arrive,
                concurrent_wake_ups_arrive,
                nobody_waits_for_the_look,
            }
            failing {
                missing_receiver_is_told,
                passing_fault_is_told,
            }
        }
    };
}

/// Expands to one test per check of [`secrets`](crate::secrets).
///
/// The argument names an `async fn() -> secrets::Fixture` in the calling module; every test gets
/// a fixture of its own.
#[macro_export]
macro_rules! secrets_suite {
    ($make:ident) => {
        $crate::checks! { $make, secrets,
            reading {
                secret_is_read,
                every_call_reads_anew,
                missing_secret_is_told,
                other_places_are_refused,
            }
        }
    };
}

/// Expands to one test per check of [`blobs`](crate::blobs).
///
/// The argument names an `async fn() -> blobs::Fixture` in the calling module; every test gets a
/// fixture of its own.
#[macro_export]
macro_rules! blobs_suite {
    ($make:ident) => {
        $crate::checks! { $make, blobs,
            contents {
                what_was_put_is_read_back,
                only_one_creates_a_blob,
                a_blob_appears_whole_or_not_at_all,
                a_listing_has_what_is_below,
                what_is_deleted_is_gone,
            }
        }
    };
}

/// Expands to one test per check of [`names`](crate::names).
///
/// The argument names an `async fn() -> names::Fixture` in the calling module; every test gets a
/// fixture of its own.
#[macro_export]
macro_rules! names_suite {
    ($make:ident) => {
        $crate::checks! { $make, names,
            claiming {
                a_model_and_a_route_never_share_a_name,
                a_name_is_free_when_it_is_given_up,
                a_route_forgets_no_former_model,
                a_route_without_a_claim_gets_one_when_it_is_written,
            }
            changing {
                of_many_changes_of_one_reading_one_is_made,
                of_many_additions_one_is_made,
                no_change_is_lost_by_those_that_read_again,
            }
            importing {
                a_list_takes_the_place_of_another,
                a_list_that_is_too_long_is_refused,
                no_list_is_read_in_part,
            }
        }
    };
}

/// Expands to one test per check of [`older_records`](crate::older_records).
///
/// The argument names an `async fn() -> older_records::Fixture` in the calling module; every test
/// gets a fixture of its own.
#[macro_export]
macro_rules! older_records_suite {
    ($make:ident) => {
        $crate::checks! { $make, older_records,
            reading {
                keys_work_or_are_refused_as_before,
                models_are_read_changed_and_deleted,
                stamps_of_routers_count,
                counts_of_routers_limit_keys,
                agents_are_understood,
            }
        }
    };
}

/// Expands to one test per named check of a port's suite.
#[doc(hidden)]
#[macro_export]
macro_rules! checks {
    ($make:ident, $port:ident, $($area:ident { $($check:ident),* $(,)? })*) => {
        $(
            mod $area {
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $check() {
                        let fixture = super::$make().await;
                        $crate::$port::$area::$check(&fixture).await;
                    }
                )*
            }
        )*
    };
}
