import Configuration
import EventBusServiceKit
import Testing

@Suite("Settings", .timeLimit(.minutes(1)))
struct SettingTests {
    @Test(
        "A key has one flag and one environment variable",
        arguments: [
            ("http.port", "--http-port", "HTTP_PORT"),
            ("rabbitmq.virtualHost", "--rabbitmq-virtual-host", "RABBITMQ_VIRTUAL_HOST"),
            ("rabbitmq.tls.caFile", "--rabbitmq-tls-ca-file", "RABBITMQ_TLS_CA_FILE"),
            ("mail.file", "--mail-file", "MAIL_FILE"),
        ]
    )
    func names(key: String, flag: String, variable: String) {
        let setting = Setting(key, .string, default: nil, "a value")
        #expect(setting.flag == flag)
        #expect(setting.environmentVariable == variable)
    }

    @Test(
        "The environment variable is the one that swift-configuration reads",
        arguments: ["http.port", "rabbitmq.virtualHost", "rabbitmq.tls.caFile", "a.b2C", "x-y.zZz"]
    )
    func environment(key: String) {
        let setting = Setting(key, .string, default: nil, "a value")
        let provider = EnvironmentVariablesProvider(environmentVariables: [setting.environmentVariable: "here"])
        #expect(ConfigReader(provider: provider).string(forKey: ConfigKey(key)) == "here")
    }
}
