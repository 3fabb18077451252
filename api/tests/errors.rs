//! The one table that maps errors to HTTP.

use std::collections::BTreeSet;

use diogenes_api::error::{ApiError, ErrorKind};
use diogenes_core::fleet::FailureKind;

/// Every kind. The match has no catch-all arm: a new kind does not compile until it is here.
fn every_kind() -> Vec<ErrorKind> {
    let failures = [
        FailureKind::Capacity,
        FailureKind::Quota,
        FailureKind::InvalidSpec,
        FailureKind::Denied,
        FailureKind::BootTimeout,
        FailureKind::Exited,
        FailureKind::Unavailable,
    ];
    let mut kinds = vec![ErrorKind::InvalidJson];
    let next = |kind: ErrorKind| match kind {
        ErrorKind::InvalidJson => Some(ErrorKind::InvalidRequest),
        ErrorKind::InvalidRequest => Some(ErrorKind::UnknownField),
        ErrorKind::UnknownField => Some(ErrorKind::MissingModel),
        ErrorKind::MissingModel => Some(ErrorKind::ModelNotFound),
        ErrorKind::ModelNotFound => Some(ErrorKind::NotFound),
        ErrorKind::NotFound => Some(ErrorKind::MethodNotAllowed),
        ErrorKind::MethodNotAllowed => Some(ErrorKind::BodyTooLarge),
        ErrorKind::BodyTooLarge => Some(ErrorKind::BodyIncomplete),
        ErrorKind::BodyIncomplete => Some(ErrorKind::MissingApiKey),
        ErrorKind::MissingApiKey => Some(ErrorKind::InvalidApiKey),
        ErrorKind::InvalidApiKey => Some(ErrorKind::RevokedApiKey),
        ErrorKind::RevokedApiKey => Some(ErrorKind::ExpiredApiKey),
        ErrorKind::ExpiredApiKey => Some(ErrorKind::InsufficientScope),
        ErrorKind::InsufficientScope => Some(ErrorKind::ModelNotAllowed),
        ErrorKind::ModelNotAllowed => Some(ErrorKind::EgressNotAllowed),
        ErrorKind::EgressNotAllowed => Some(ErrorKind::BudgetExceeded),
        ErrorKind::BudgetExceeded => Some(ErrorKind::RequestExceedsBudget),
        ErrorKind::RequestExceedsBudget => Some(ErrorKind::BudgetReserved),
        ErrorKind::BudgetReserved => Some(ErrorKind::ModelUnpriced),
        ErrorKind::ModelUnpriced => Some(ErrorKind::ModelReadOnly),
        ErrorKind::ModelReadOnly => Some(ErrorKind::Conflict),
        ErrorKind::Conflict => Some(ErrorKind::PreconditionFailed),
        ErrorKind::PreconditionFailed => Some(ErrorKind::KeyNotFound),
        ErrorKind::KeyNotFound => Some(ErrorKind::ProjectNotFound),
        ErrorKind::ProjectNotFound => Some(ErrorKind::BudgetNotFound),
        ErrorKind::BudgetNotFound => Some(ErrorKind::RouteNotFound),
        ErrorKind::RouteNotFound => Some(ErrorKind::RateCardNotFound),
        ErrorKind::RateCardNotFound => Some(ErrorKind::ProviderNotFound),
        ErrorKind::ProviderNotFound => Some(ErrorKind::FileNotFound),
        ErrorKind::FileNotFound => Some(ErrorKind::UploadNotFound),
        ErrorKind::UploadNotFound => Some(ErrorKind::BatchNotFound),
        ErrorKind::BatchNotFound => Some(ErrorKind::JobNotFound),
        ErrorKind::JobNotFound => Some(ErrorKind::ScheduleNotFound),
        ErrorKind::ScheduleNotFound => Some(ErrorKind::PromptNotFound),
        ErrorKind::PromptNotFound => Some(ErrorKind::PromptVersionNotFound),
        ErrorKind::PromptVersionNotFound => Some(ErrorKind::PromptArchived),
        ErrorKind::PromptArchived => Some(ErrorKind::PromptNotRendered),
        ErrorKind::PromptNotRendered => Some(ErrorKind::EvalNotFound),
        ErrorKind::EvalNotFound => Some(ErrorKind::DeploymentNotFound),
        ErrorKind::DeploymentNotFound => Some(ErrorKind::DatasetNotFound),
        ErrorKind::DatasetNotFound => Some(ErrorKind::SnapshotNotFound),
        ErrorKind::SnapshotNotFound => Some(ErrorKind::ExampleNotFound),
        ErrorKind::ExampleNotFound => Some(ErrorKind::NoRoom),
        ErrorKind::NoRoom => Some(ErrorKind::ReadOnly),
        ErrorKind::ReadOnly => Some(ErrorKind::ProjectArchived),
        ErrorKind::ProjectArchived => Some(ErrorKind::InvalidCursor),
        ErrorKind::InvalidCursor => Some(ErrorKind::RateLimited),
        ErrorKind::RateLimited => Some(ErrorKind::TooManyHeld),
        ErrorKind::TooManyHeld => Some(ErrorKind::ModelWarming),
        ErrorKind::ModelWarming => Some(ErrorKind::ModelBusy),
        ErrorKind::ModelBusy => Some(ErrorKind::ModelFailed(FailureKind::Capacity)),
        ErrorKind::ModelFailed(_) => Some(ErrorKind::ModelDown),
        ErrorKind::ModelDown => Some(ErrorKind::ProviderUnavailable),
        ErrorKind::ProviderUnavailable => Some(ErrorKind::UpstreamUnreachable),
        ErrorKind::UpstreamUnreachable => Some(ErrorKind::UpstreamRefused),
        ErrorKind::UpstreamRefused => Some(ErrorKind::UpstreamDenied),
        ErrorKind::UpstreamDenied => Some(ErrorKind::RequestCrashesModel),
        ErrorKind::RequestCrashesModel => Some(ErrorKind::UpstreamCut),
        ErrorKind::UpstreamCut => Some(ErrorKind::UpstreamStalled),
        ErrorKind::UpstreamStalled => Some(ErrorKind::UpstreamMalformed),
        ErrorKind::UpstreamMalformed => Some(ErrorKind::UpstreamTooLarge),
        ErrorKind::UpstreamTooLarge => Some(ErrorKind::Deadline),
        ErrorKind::Deadline => Some(ErrorKind::ShuttingDown),
        ErrorKind::ShuttingDown => Some(ErrorKind::StoreUnavailable),
        ErrorKind::StoreUnavailable => Some(ErrorKind::Internal),
        ErrorKind::Internal => None,
    };
    while let Some(kind) = kinds.last().copied().and_then(next) {
        kinds.push(kind);
    }
    kinds.retain(|kind| !matches!(kind, ErrorKind::ModelFailed(_)));
    kinds.extend(failures.map(ErrorKind::ModelFailed));
    kinds
}

#[test]
fn every_kind_has_its_status_code_and_type() {
    let rows = every_kind().into_iter().map(|kind| {
        let (status, code) = kind.http();
        let kind = ApiError::new(kind, "").body().error.kind;
        format!("{} {code} {kind}", status.as_u16())
    });
    let mut rows: Vec<String> = rows.collect();
    rows.sort();
    insta::assert_snapshot!(rows.join("\n"));
}

#[test]
fn no_two_kinds_share_a_code() {
    let kinds = every_kind();
    let codes: BTreeSet<&str> = kinds.iter().map(|kind| kind.http().1).collect();
    assert_eq!(codes.len(), kinds.len());
}

#[test]
fn an_event_is_one_line_of_data_and_a_blank_one() {
    for kind in every_kind() {
        let event = ApiError::new(kind, "two\nlines").param("a").event();
        assert!(event.starts_with("data: {\"error\":") && event.ends_with("}}\n\n"), "{event}");
        assert_eq!(event.matches('\n').count(), 2, "{event}");
    }
}
