//! Launch templates, which LocalStack honours and ministack only keeps.

use super::super::answer::Answer;
use super::super::call::Call;
use super::super::upstream::Upstream;
use super::super::xml;
use super::{Form, ask, fault};

/// The data of the launch template that a launch names, as XML; a refusal if there is none such.
pub(super) async fn named(upstream: &Upstream, call: &Call) -> Result<Option<String>, Answer> {
    let parameter = |name| call.resource.parameters.get(name).map(String::as_str);
    let (field, template) = match (
        parameter("LaunchTemplate.LaunchTemplateId"),
        parameter("LaunchTemplate.LaunchTemplateName"),
    ) {
        (Some(id), _) => ("LaunchTemplateId", id),
        (None, Some(name)) => ("LaunchTemplateName", name),
        (None, None) => return Ok(None),
    };
    let version = parameter("LaunchTemplate.Version").unwrap_or("$Default");
    let form = [(field, template), ("LaunchTemplateVersion.1", version)];
    let answer = ask(upstream, call, "DescribeLaunchTemplateVersions", &form).await;
    let data = xml::inner(answer.text(), "launchTemplateData");
    match data {
        Some(data) if answer.status.is_success() => Ok(Some(data.to_owned())),
        _ => {
            let code = match field {
                "LaunchTemplateId" => "InvalidLaunchTemplateId.NotFound",
                _ => "InvalidLaunchTemplateName.NotFoundException",
            };
            let text =
                format!("The specified launch template {template} ({version}) does not exist.");
            Err(fault(code, &text))
        }
    }
}

/// Fills in what the launch leaves to its template: image, instance type, user data, and the tags
/// of instances. Nothing else of a template can be seen on ministack.
pub(super) fn fill_in(form: &mut Form, template: &str) {
    let names =
        [("ImageId", "imageId"), ("InstanceType", "instanceType"), ("UserData", "userData")];
    for (parameter, element) in names {
        if let Some(value) = xml::text(template, element)
            && !form.iter().any(|(name, _)| name == parameter)
        {
            form.push((parameter.to_owned(), value.into_owned()));
        }
    }
    let tags = xml::inner(template, "tagSpecificationSet").unwrap_or_default();
    let of_instances = tags.split("<resourceType>").find(|part| part.starts_with("instance<"));
    for tag in of_instances.unwrap_or_default().split("<key>").skip(1) {
        let key = tag.split("</key>").next().unwrap_or_default();
        let value = xml::text(tag, "value").unwrap_or_default();
        add_instance_tag(form, key, &value);
    }
}

/// Adds a tag to those of the instance, unless it has one of this key.
fn add_instance_tag(form: &mut Form, key: &str, value: &str) {
    let is = |name: &str, expected: &str| {
        form.iter().any(|(known, value)| known == name && value == expected)
    };
    let has = |name: &str| form.iter().any(|(known, _)| known == name);
    let mut n = 1;
    while has(&format!("TagSpecification.{n}.ResourceType"))
        && !is(&format!("TagSpecification.{n}.ResourceType"), "instance")
    {
        n += 1;
    }
    let mut m = 1;
    while has(&format!("TagSpecification.{n}.Tag.{m}.Key")) {
        if is(&format!("TagSpecification.{n}.Tag.{m}.Key"), key) {
            return;
        }
        m += 1;
    }
    if !has(&format!("TagSpecification.{n}.ResourceType")) {
        form.push((format!("TagSpecification.{n}.ResourceType"), "instance".to_owned()));
    }
    form.push((format!("TagSpecification.{n}.Tag.{m}.Key"), key.to_owned()));
    form.push((format!("TagSpecification.{n}.Tag.{m}.Value"), value.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "<imageId>ami-1</imageId><instanceType>t3.micro</instanceType>\
        <tagSpecificationSet><item><resourceType>volume</resourceType><tagSet><item><key>v</key>\
        <value>1</value></item></tagSet></item><item><resourceType>instance</resourceType><tagSet>\
        <item><key>a</key><value>template</value></item><item><key>b</key><value>x &amp; y</value>\
        </item></tagSet></item></tagSpecificationSet>";

    #[test]
    fn the_launch_goes_before_its_template() {
        let launch = [
            ("InstanceType", "g5.xlarge"),
            ("TagSpecification.1.ResourceType", "instance"),
            ("TagSpecification.1.Tag.1.Key", "a"),
            ("TagSpecification.1.Tag.1.Value", "launch"),
        ];
        let mut form: Form = launch.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        fill_in(&mut form, TEMPLATE);
        let added: Vec<_> = form[launch.len()..].iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            added,
            [
                "ImageId=ami-1",
                "TagSpecification.1.Tag.2.Key=b",
                "TagSpecification.1.Tag.2.Value=x & y",
            ]
        );
    }
}
