import Configuration
import EventBus
import EventBusRedis
import EventBusServiceKit
import NotificationService
import ShopServer

extension ServiceDefinition {
    /// The notification service.
    static let notifications = ServiceDefinition.shop(
        name: "notifications",
        executable: "notification-service",
        summary: "Tells every customer once how an order ended, by mail.",
        defaultPort: 8082,
        settings: [
            Setting(
                "mail.file",
                .string,
                default: "notifications.mbox",
                "the mailbox file that messages are appended to, unless smtp.url is set"
            ),
            Setting("mail.from", .string, default: "orders@shop.example", "the address that messages come from"),
            Setting(
                "mail.customerDomain",
                .string,
                default: "customers.example",
                "where customers have their addresses, CUSTOMER-ID@DOMAIN"
            ),
            Setting(
                "smtp.url",
                .string,
                default: nil,
                "the server that takes messages instead: smtps://HOST:PORT, or smtp://HOST:PORT with STARTTLS"
            ),
            Setting("smtp.username", .string, default: nil, "the user to log in as"),
            Setting("smtp.password", .string, default: nil, isSecret: true, "the user's password"),
            Setting(
                "smtp.certificateFile",
                .string,
                default: nil,
                "certificates of the authorities to trust, in PEM, instead of the system's"
            ),
            Setting("smtp.connectTimeout", .double, default: "5", "seconds to connect"),
            Setting("smtp.timeout", .double, default: "15", "seconds that a message may take in all"),
            Setting(
                "smtp.insecureIfNotOffered",
                .bool,
                default: "false",
                "send without encryption to a server that offers none; not together with a password"
            ),
        ],
        needsBus: true,
        migrations: NotificationSchema.registerMigrations,
        postgresMigrations: NotificationSchema.postgres,
        assemble: assembleNotifications
    )

    private static func assembleNotifications(_ environment: ShopEnvironment) async throws -> ServiceAssembly {
        let letterhead = try Letterhead(config: environment.config)
        if let smtp = try SMTPConfiguration(config: environment.config) {
            return try post(through: smtp, letterhead, environment)
        }
        return try write(letterhead, environment)
    }

    /// Sends notifications to a mail server.
    private static func post(
        through smtp: SMTPConfiguration,
        _ letterhead: Letterhead,
        _ environment: ShopEnvironment
    ) throws -> ServiceAssembly {
        let mailer = try SMTPMailer(smtp)
        let log = SQLNotificationLog(database: environment.database, mailer: mailer, letterhead: letterhead)
        // One message at a time. Its claim is renewed while it is sent, so no other replica sends it meanwhile.
        let options = SubscriptionOptions.notifications(
            concurrency: 1,
            longest: smtp.timeout,
            inbox: RedisInbox(environment.redis, prefix: "notifications")
        )
        NotificationService(bus: environment.bus, log: log).subscribe(options: options)
        let redis = environment.redis
        return ServiceAssembly(
            bus: environment.bus,
            checks: [HealthCheck(isRequired: false) { [mailer.health, await redis.health()] }],
            routes: { router in NotificationRoutes(log: log).add(to: router) }
        )
    }

    /// Writes notifications to a mailbox file.
    private static func write(_ letterhead: Letterhead, _ environment: ShopEnvironment) throws -> ServiceAssembly {
        let path = environment.config.string(forKey: "mail.file", default: "notifications.mbox")
        let file = MailFile(path: path, logger: environment.logger)
        let log = SQLNotificationLog(database: environment.database, mailer: file, letterhead: letterhead)
        let options = SubscriptionOptions.notifications(
            concurrency: 16,
            longest: .zero,
            inbox: RedisInbox(environment.redis, prefix: "notifications")
        )
        let service = NotificationService(bus: environment.bus, log: log)
        let redis = environment.redis
        return ServiceAssembly(
            bus: environment.bus,
            services: [
                MailFileService(file: file) {
                    service.subscribe(options: options)
                    try environment.writeTopology()
                }
            ],
            checks: [
                HealthCheck(isRequired: true) { [file.health] },
                HealthCheck(isRequired: false) { [await redis.health()] },
            ],
            routes: { router in NotificationRoutes(log: log).add(to: router) }
        )
    }
}

extension Letterhead {
    /// Creates the letterhead from the keys under `mail`.
    ///
    /// - Throws: `EventBusError` with code `.invalidConfiguration`, which names the key.
    init(config: ConfigReader) throws {
        guard let sender = MailAddress(config.string(forKey: "mail.from", default: "orders@shop.example")) else {
            throw EventBusError(
                .invalidConfiguration,
                "mail.from has to be a plain address such as orders@shop.example"
            )
        }
        guard let domain = MailDomain(config.string(forKey: "mail.customerDomain", default: "customers.example")) else {
            throw EventBusError(
                .invalidConfiguration,
                "mail.customerDomain has to be a domain such as customers.example"
            )
        }
        self.init(sender: sender, customerDomain: domain)
    }
}
