import Configuration
import EventBus
import EventBusRedis
import Testing

@Suite
struct RedisConfigurationTests {
    @Test func `a URI says where and as whom to connect`() throws {
        let plain = try RedisConfiguration(uri: "redis://example.com")
        #expect(plain.endpoint == .tcp(host: "example.com", port: 6379))
        #expect(plain.credentials == nil && plain.database == 0)

        let full = try RedisConfiguration(uri: "redis://user:p%40ss%2Fw@rd@example.com:6380/7")
        #expect(full.endpoint == .tcp(host: "example.com", port: 6380))
        #expect(full.credentials == .init(user: "user", password: "p@ss/w@rd"))
        #expect(full.database == 7)

        let v6 = try RedisConfiguration(uri: "redis://:secret@[::1]:6381")
        #expect(v6.endpoint == .tcp(host: "::1", port: 6381))
        #expect(v6.credentials == .init(password: "secret"))

        let sentinel = try RedisConfiguration(uri: "redis+sentinel://:secret@s1,s2:26380,[::1]/orders/3")
        #expect(
            sentinel.endpoint
                == .sentinel(hosts: [.init("s1"), .init("s2", port: 26380), .init("::1")], service: "orders")
        )
        #expect(sentinel.credentials == .init(password: "secret") && sentinel.database == 3)
        #expect("\(sentinel)" == "redis+sentinel://:***@s1:26379,s2:26380,[::1]:26379/orders/3")
        #expect(try RedisConfiguration(uri: "rediss+sentinel://s1/orders").tls == RedisConfiguration.TLS())

        let cluster = try RedisConfiguration(uri: "redis+cluster://shop:secret@n1,n2:7001,[::1]")
        #expect(cluster.endpoint == .cluster(hosts: [.init("n1"), .init("n2", port: 7001), .init("::1")]))
        #expect(cluster.credentials == .init(user: "shop", password: "secret"))
        #expect("\(cluster)" == "redis+cluster://shop:***@n1:6379,n2:7001,[::1]:6379")
        #expect(try RedisConfiguration(uri: "rediss+cluster://n1/0").tls == RedisConfiguration.TLS())

        let unix = try RedisConfiguration(uri: "redis+unix://:secret@/run/redis%20a.sock?db=2")
        #expect(unix.endpoint == .unix(path: "/run/redis a.sock"))
        #expect(unix.credentials == .init(password: "secret") && unix.database == 2)
        #expect(try RedisConfiguration(uri: "unix:///run/x").endpoint == .unix(path: "/run/x"))
    }

    @Test(arguments: [
        "", "localhost", "http://secret", "redis://", "redis://secret@host", "redis://h:0", "redis://h:secret",
        "redis://h:1/x", "redis://h/-1", "redis://[::1", "redis://[::1]x", "redis://:secret%4@h", "redis://:%ff@h",
        "redis://h?db=1", "unix://secret", "unix:///x?y=1", "redis+sentinel://s1", "redis+sentinel:///orders",
        "redis+sentinel://s1,/orders", "redis://:secret%00@h",
        "redis+cluster://", "redis+cluster://n1,", "redis+cluster://n1/x",
    ])
    func `a URI that makes no sense is refused, without showing it`(uri: String) {
        #expect {
            try RedisConfiguration(uri: uri)
        } throws: { error in
            let error = error as? EventBusError
            return error?.code == .invalidConfiguration && error?.message.contains("secret") == false
        }
    }

    @Test func `a URI asks for TLS by its scheme, and a reader names the files`() throws {
        let plain = try RedisConfiguration(uri: "rediss://:secret@example.com:6380")
        #expect(plain.tls == RedisConfiguration.TLS())
        #expect("\(plain)" == "rediss://:***@example.com:6380/0")
        let reader = ConfigReader(
            provider: InMemoryProvider(values: [
                "uri": "rediss://host", "tls.caFile": "ca", "tls.certificateFile": "certificate", "tls.keyFile": "key",
                "tls.keyPassword": "hidden", "tls.serverName": "name", "tls.insecureSkipsVerification": true,
            ])
        )
        let tls = try RedisConfiguration(config: reader).tls
        #expect(
            tls
                == RedisConfiguration.TLS(
                    caFile: "ca",
                    certificateFile: "certificate",
                    keyFile: "key",
                    keyPassword: "hidden",
                    serverName: "name",
                    insecureSkipsVerification: true
                )
        )
        var dumped = ""
        dump(tls, to: &dumped)
        for text in ["\(tls as Any)", String(reflecting: tls), dumped] { #expect(!text.contains("hidden")) }
    }

    @Test func `what is printed never shows the password`() throws {
        for uri in ["redis://user:hidden@host", "redis+unix://:hidden@/path?db=1"] {
            let configuration = try RedisConfiguration(uri: uri)
            var dumped = ""
            dump(configuration, to: &dumped)
            for text in ["\(configuration)", String(reflecting: configuration), dumped, "\([configuration])"] {
                #expect(!text.contains("hidden"))
                #expect(text.contains("***"))
            }
        }
    }

    @Test func `a reader gives the same configuration, and names the key that is wrong`() throws {
        let reader = ConfigReader(
            provider: InMemoryProvider(values: [
                "uri": "redis://host:1/2", "password": "secret", "user": "user", "heartbeat": 0.5,
                "commandTimeout": 3.0, "connectTimeout": 4.0, "clientName": "shop", "reconnect.initial": 0.25,
                "reconnect.maximum": 8, "maximumInFlight": 11, "maximumInFlightBytes": 12, "maximumQueued": 13,
                "maximumQueuedBytes": 14, "maximumReplySize": 15, "sentinel.user": "watcher",
                "sentinel.password": "hidden",
            ])
        )
        let configuration = try RedisConfiguration(config: reader)
        #expect(configuration.endpoint == .tcp(host: "host", port: 1))
        #expect(configuration.database == 2)
        #expect(configuration.credentials == .init(user: "user", password: "secret"))
        #expect(configuration.heartbeat == .milliseconds(500))
        #expect(configuration.commandTimeout == .seconds(3))
        #expect(configuration.connectTimeout == .seconds(4))
        #expect(configuration.clientName == "shop")
        #expect(configuration.reconnect == .init(initial: .milliseconds(250), maximum: .seconds(8)))
        #expect(configuration.maximumInFlight == 11)
        #expect(configuration.maximumInFlightBytes == 12)
        #expect(configuration.maximumQueued == 13)
        #expect(configuration.maximumQueuedBytes == 14)
        #expect(configuration.maximumReplySize == 15)
        #expect(configuration.sentinelCredentials == .init(user: "watcher", password: "hidden"))

        #expect {
            try RedisConfiguration(config: ConfigReader(provider: InMemoryProvider(values: ["heartbeat": -1.0])))
        } throws: { error in
            (error as? EventBusError)?.message.contains("heartbeat") == true
        }
    }

    @Test(arguments: ["user", "username", "sentinel.user", "tls.caFile"])
    func `a key that has no effect is refused instead of being ignored`(key: String) {
        let reader = ConfigReader(
            provider: InMemoryProvider(values: [AbsoluteConfigKey(ConfigKey(key)): "value", "uri": "redis://host"])
        )
        #expect {
            try RedisConfiguration(config: reader)
        } throws: { error in
            let error = error as? EventBusError
            return error?.code == .invalidConfiguration && error?.message.contains(key) == true
        }
    }

    @Test func `values that make no sense are refused when a client is made`() throws {
        let changes: [(inout RedisConfiguration) -> Void] = [
            { $0.heartbeat = .zero }, { $0.commandTimeout = .seconds(-1) }, { $0.maximumInFlight = 0 },
            { $0.database = -1 }, { $0.clientName = "two words" },
            { $0.endpoint = .cluster(hosts: []) },
            {
                $0.endpoint = .cluster(hosts: [.init("n1")])
                $0.database = 1
            },
            { $0.endpoint = .unix(path: String(repeating: "x", count: 200)) },
            { $0.tls = .init(certificateFile: "certificate") }, { $0.tls = .init(keyFile: "key") },
            {
                $0.endpoint = .unix(path: "/run/redis.sock")
                $0.tls = .init()
            },
        ]
        for change in changes {
            var configuration = RedisConfiguration()
            change(&configuration)
            #expect {
                _ = try RedisClient(configuration, logger: .silent)
            } throws: { error in
                (error as? EventBusError)?.code == .invalidConfiguration
            }
        }
    }
}
