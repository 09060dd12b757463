"""What participants read when there is no step to show: heading and text (paragraphs parted by an empty line)."""

_BACK = (
    "If you came from a panel or another site, please go back there and return your place; you do not need a completion code "
    "for that. You can close this page."
)

MESSAGES: dict[str, tuple[str, str]] = {
    "unknown": (
        "Study not found",
        "There is no study at this address. Please check that the link is complete, exactly as it stands in your invitation."
        f"\n\n{_BACK}",
    ),
    "draft": (
        "This study has not started yet",
        f"Please try again later, or ask the person who invited you.\n\n{_BACK}",
    ),
    "paused": (
        "This study is paused",
        f"No new participants can begin at the moment. Please try again later.\n\n{_BACK}",
    ),
    "full": (
        "This study is full",
        f"As many people as we need have taken part. Thank you for your interest.\n\n{_BACK}",
    ),
    "closed": ("This study is closed", f"No more answers can be given. Thank you for your interest.\n\n{_BACK}"),
    "ended": (
        "Your visit has ended",
        "Your place was given to another person, because it had been left for a long time. What you had sent is stored."
        f"\n\n{_BACK}",
    ),
    "no_cookie": (
        "Your browser did not say which visit this is",
        "This study needs one cookie to remember where you are. Please allow cookies for this site, then go on. "
        "What you sent before is stored.",
    ),
    "foreign_form": (
        "This form cannot be used",
        "It does not belong to your current visit, so nothing of it was stored. What you sent before is stored: please go on "
        "with the study where you were.",
    ),
}
