import Configuration
import EventBus
import Testing

@testable import NotificationServer

@Suite("The configuration of SMTP", .timeLimit(.minutes(1)))
struct SMTPConfigurationTests {
    private func configuration(_ values: [AbsoluteConfigKey: ConfigValue]) throws -> SMTPConfiguration? {
        try SMTPConfiguration(config: ConfigReader(provider: InMemoryProvider(values: values)))
    }

    @Test("Without a URL there is no configuration")
    func none() throws {
        #expect(try configuration(["smtp.username": "shop"]) == nil)
    }

    @Test("Every key is read")
    func values() throws {
        let read = try configuration([
            "smtp.url": "smtps://mail.example:465", "smtp.username": "shop",
            "smtp.password": ConfigValue("secret", isSecret: true), "smtp.certificateFile": "/etc/mail.pem",
            "smtp.connectTimeout": 1.5, "smtp.timeout": 3.0,
        ])
        var expected = try SMTPConfiguration(url: "smtps://mail.example:465")
        expected.username = "shop"
        expected.password = "secret"
        expected.certificateFile = "/etc/mail.pem"
        expected.connectTimeout = .milliseconds(1_500)
        expected.timeout = .seconds(3)
        #expect(read == expected)
        #expect(read?.encryption == .required)
        let open = try configuration(["smtp.url": "smtp://localhost:25", "smtp.insecureIfNotOffered": true])
        #expect(open?.encryption == .ifOffered)
    }

    @Test(
        "What makes no sense is refused, by its key",
        arguments: [
            (["smtp.url": "http://mail.example"], "smtp.url"), (["smtp.url": "smtp:mail.example"], "smtp.url"),
            (["smtp.url": "smtp://"], "smtp.url"), (["smtp.url": "smtp://a b"], "smtp.url"),
            (["smtp.url": "smtp://user:secret@mail.example"], "smtp.username"),
            (["smtp.url": "smtp://mail.example", "smtp.username": "shop"], "smtp.password"),
            (["smtp.url": "smtp://mail.example", "smtp.timeout": 0.0], "smtp.timeout"),
            (["smtp.url": "smtp://mail.example", "smtp.connectTimeout": 1e9], "smtp.connectTimeout"),
            (
                [
                    "smtp.url": "smtp://mail.example", "smtp.username": "shop", "smtp.password": "secret",
                    "smtp.insecureIfNotOffered": true,
                ], "smtp.insecureIfNotOffered"
            ),
        ] as [([AbsoluteConfigKey: ConfigValue], String)]
    )
    func invalid(values: [AbsoluteConfigKey: ConfigValue], key: String) throws {
        let error = try #require(throws: EventBusError.self) { try configuration(values) }
        #expect(error.code == .invalidConfiguration)
        #expect(error.message.contains(key))
        #expect(!error.description.contains("secret"))
    }

    @Test("The letterhead is read, and an invalid address is refused")
    func letterhead() throws {
        func letterhead(_ values: [AbsoluteConfigKey: ConfigValue]) throws -> Letterhead {
            try Letterhead(config: ConfigReader(provider: InMemoryProvider(values: values)))
        }
        #expect(try letterhead([:]) == .sample)
        #expect(try letterhead(["mail.from": "a@b.c"]).sender.description == "a@b.c")
        for (key, value) in [("mail.from", "a\r\nBcc: b"), ("mail.customerDomain", "@x")] {
            let error = try #require(throws: EventBusError.self) {
                try letterhead([AbsoluteConfigKey(ConfigKey(key)): ConfigValue(stringLiteral: value)])
            }
            #expect(error.message.contains(key))
        }
    }
}
