import Configuration
import EventBus
import EventBusRabbit
import Testing

@Suite(.timeLimit(.minutes(1)))
struct RabbitConfigurationTests {
    @Test func `a URI names hosts, credentials and virtual host`() throws {
        let configuration = try RabbitConfiguration(
            uri: "amqp://o%40e:s%2Fe%3Acret@one:5673,two,[::1]:5674/shop%2Feu?heartbeat=7"
        )
        #expect(configuration.hosts == [.init("one", port: 5673), .init("two", port: 5672), .init("::1", port: 5674)])
        #expect(configuration.credentials.user == "o@e")
        #expect(configuration.credentials.password == "s/e:cret")
        #expect(configuration.virtualHost == "shop/eu")
        #expect(configuration.heartbeat == .seconds(7))
        #expect(configuration.tls == nil)
    }

    @Test func `what a URI leaves out has its default`() throws {
        let configuration = try RabbitConfiguration(uri: "amqps://broker")
        #expect(configuration.hosts == [.init("broker", port: 5671)])
        #expect(configuration.virtualHost == "/")
        #expect(configuration.credentials.user == "guest")
        #expect(configuration.tls != nil)
        #expect(configuration.queueType == .quorum)
    }

    @Test(arguments: [
        "", "amqp://", "http://host", "amqp://host:0", "amqp://host:65536", "amqp://host:", "amqp://host:x",
        "amqp://a,,b",
        "amqp://[::1", "amqp://host/%GG", "amqp://host/a/b", "amqp://u:p%@host", "amqp://host?heartbeat",
        "amqp://host?a=1",
        "amqp://host?heartbeat=-1", "amqp://:p@host",
    ])
    func `a URI that is not right is refused`(uri: String) {
        let error = #expect(throws: EventBusError.self) { try RabbitConfiguration(uri: uri) }
        #expect(error?.code == .invalidConfiguration)
    }

    @Test func `no description shows a password`() throws {
        var configuration = try RabbitConfiguration(uri: "amqps://user:canary@host/")
        configuration.tls?.keyPassword = "canary"
        var dumped = ""
        dump(configuration, to: &dumped)
        for text in ["\(configuration)", String(reflecting: configuration), dumped, "\(configuration.credentials)"] {
            #expect(!text.contains("canary"))
        }
    }

    @Test func `every key of a configuration reader is heard`() throws {
        let reader = ConfigReader(
            provider: InMemoryProvider(values: [
                "uri": "amqps://user:secret@host/shop", "user": "other", "password": "better", "virtualHost": "eu",
                "exchange": "orders", "queueType": "classic", "declaration": "passive", "clientName": "orders-1",
                "heartbeat": "3.0", "connectTimeout": "1.5", "commandTimeout": "4.0", "maximumUnconfirmedEvents": 7,
                "maximumUnconfirmedBytes": 8, "maximumBodySize": 9, "reconnect.initial": "0.0",
                "reconnect.maximum": "2.0",
                "newQueueGracePeriod": "0.0", "consumerCheckInterval": "0.5", "tls.caFile": "/ca",
                "tls.certificateFile": "/c",
                "tls.keyFile": "/k", "tls.keyPassword": "kp", "tls.usesCertificateIdentity": true,
                "tls.insecureSkipsVerification": true,
            ])
        )
        let configuration = try RabbitConfiguration(config: reader)
        #expect(configuration.credentials.user == "other")
        #expect(configuration.credentials.password == "better")
        #expect(configuration.virtualHost == "eu")
        #expect(configuration.exchange == "orders")
        #expect(configuration.queueType == .classic)
        #expect(configuration.declaration == .passive)
        #expect(configuration.clientName == "orders-1")
        #expect(configuration.heartbeat == .seconds(3))
        #expect(configuration.connectTimeout == .milliseconds(1500))
        #expect(configuration.commandTimeout == .seconds(4))
        #expect(configuration.maximumUnconfirmedEvents == 7)
        #expect(configuration.maximumUnconfirmedBytes == 8)
        #expect(configuration.maximumBodySize == 9)
        #expect(configuration.reconnect == .init(initial: .zero, maximum: .seconds(2)))
        #expect(configuration.newQueueGracePeriod == .zero)
        #expect(configuration.consumerCheckInterval == .milliseconds(500))
        #expect(configuration.tls?.caFile == "/ca")
        #expect(configuration.tls?.certificateFile == "/c")
        #expect(configuration.tls?.keyFile == "/k")
        #expect(configuration.tls?.keyPassword == "kp")
        #expect(configuration.tls?.usesCertificateIdentity == true)
        #expect(configuration.tls?.insecureSkipsVerification == true)
    }

    @Test func `a key with a word that it does not know is named`() {
        let reader = ConfigReader(provider: InMemoryProvider(values: ["uri": "amqp://host", "queueType": "stream"]))
        let error = #expect(throws: EventBusError.self) { try RabbitConfiguration(config: reader) }
        #expect(error?.message.contains("queueType") ?? false)
    }

    @Test func `a server name of its own is refused, and not left out silently`() {
        let reader = ConfigReader(
            provider: InMemoryProvider(values: ["uri": "amqps://10.0.0.1", "tls.serverName": "rabbit.internal"])
        )
        let error = #expect(throws: EventBusError.self) { try RabbitConfiguration(config: reader) }
        #expect(error?.code == .invalidConfiguration)
        #expect(error?.message.contains("tls.serverName") == true)
        let other = #expect(throws: EventBusError.self) {
            try RabbitConfiguration(uri: "amqps://10.0.0.1?server_name_indication=rabbit.internal")
        }
        #expect(other?.message.contains("server_name_indication") == true)
        #expect(other?.message.contains("connects to") == true)
    }

    @Test func `values that make no sense are refused by name`() throws {
        let good = try RabbitConfiguration(uri: "amqp://host")
        let bad: [(String, (inout RabbitConfiguration) -> Void)] = [
            ("hosts", { $0.hosts = [] }), ("virtualHost", { $0.virtualHost = "" }),
            ("exchange", { $0.exchange = "amq.x" }),
            ("heartbeat", { $0.heartbeat = .milliseconds(500) }), ("maximumBodySize", { $0.maximumBodySize = 0 }),
            ("password", { $0.credentials.password = "a\0b" }), ("commandTimeout", { $0.commandTimeout = .zero }),
            ("tls", { $0.tls = .init(certificateFile: "/c") }),
        ]
        for (name, spoil) in bad {
            var configuration = good
            spoil(&configuration)
            let error = #expect(throws: EventBusError.self) { try configuration.validate() }
            #expect(error?.message.contains(name) ?? false, "\(name): \(String(describing: error))")
        }
    }
}
