import Testing

@testable import EventBusServiceKit

@Suite("Redaction", .timeLimit(.minutes(1)))
struct RedactionTests {
    @Test(
        "Passwords of URIs are taken out, and nothing else is changed",
        arguments: [
            ("amqp://user:pass@host:5672/v", "amqp://user:***@host:5672/v"),
            ("to redis://:pass@h and amqp://u:p@ss@h?x", "to redis://:***@h and amqp://u:***@h?x"),
            ("amqp://user@host", "amqp://user@host"),
            ("http://host/a@b:c", "http://host/a@b:c"),
            ("see https://host", "see https://host"),
            ("://", "://"),
            ("no URI at all: a:b@c", "no URI at all: a:b@c"),
            // A mark joins the delimiter before it.
            ("amqp://\u{301}user:\u{301}pass@\u{301}host", "amqp://\u{301}user:***@\u{301}host"),
        ]
    )
    func uris(text: String, expected: String) {
        #expect(Redaction().redact(text) == expected)
    }

    @Test("A secret is removed anywhere, including at the beginning and the end")
    func secrets() {
        let redaction = Redaction(secrets: ["aab", "aaab-long", "xyz9"])
        #expect(redaction.redact("aaab-long") == "***")
        #expect(redaction.redact("aaaab-long, xyz9") == "a***, ***")
        // Three characters protect nothing, and would make lines unreadable.
        #expect(redaction.redact("aab") == "aab")
    }

    @Test("A secret is removed if a combining mark follows it, or if it begins with one")
    func marks() {
        let redaction = Redaction(secrets: ["secret", "\u{301}marked", "amqp://user:\u{301}word@host"])
        #expect(redaction.redact("a secret\u{301} here") == "a ***\u{301} here")
        #expect(redaction.redact("e\u{301}marked") == "e***")
        #expect(redaction.redact("the \u{301}word") == "the ***")
        // Another form of a letter is another secret.
        #expect(Redaction(secrets: ["caf\u{E9}"]).redact("cafe\u{301}") == "cafe\u{301}")
    }
}
