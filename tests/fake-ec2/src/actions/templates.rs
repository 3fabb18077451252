use axum::response::Response;
use diogenes_core::Timestamp;

use crate::answer::{ApiError, Xml, success};
use crate::form::Form;
use crate::world::{Template, World};

impl World {
    /// The launch template that a call names, if it names one.
    pub(super) fn template_of(&self, form: &Form) -> Result<Option<&Template>, ApiError> {
        match (
            form.get("LaunchTemplate.LaunchTemplateId"),
            form.get("LaunchTemplate.LaunchTemplateName"),
        ) {
            (None, None) => Ok(None),
            (Some(id), None) => self.by_id(id).map(Some),
            (None, Some(name)) => self.by_name(name).map(Some),
            (Some(_), Some(_)) => Err(ApiError::client(
                "InvalidParameterCombination",
                "Provide the id or the name of the launch template, not both",
            )),
        }
    }

    fn by_id(&self, id: &str) -> Result<&Template, ApiError> {
        self.templates.iter().find(|template| template.id == id).ok_or_else(|| {
            ApiError::client(
                "InvalidLaunchTemplateId.NotFound",
                format!("The specified launch template, with template ID {id}, does not exist."),
            )
        })
    }

    fn by_name(&self, name: &str) -> Result<&Template, ApiError> {
        self.templates.iter().find(|template| template.name == name).ok_or_else(|| {
            ApiError::client(
                "InvalidLaunchTemplateName.NotFoundException",
                format!(
                    "The specified launch template, with template name {name}, does not exist."
                ),
            )
        })
    }
}

/// Of its data only the image is kept.
pub(super) fn create(world: &mut World, form: &Form, now: Timestamp) -> Result<Response, ApiError> {
    let name =
        form.get("LaunchTemplateName").ok_or_else(|| ApiError::missing("LaunchTemplateName"))?;
    if world.by_name(name).is_ok() {
        return Err(ApiError::client(
            "InvalidLaunchTemplateName.AlreadyExistsException",
            "Launch template name already in use.",
        ));
    }
    let template = Template {
        id: format!("lt-{:017x}", world.templates.len()),
        name: name.into(),
        image: form.get("LaunchTemplateData.ImageId").map(str::to_owned),
    };
    let answer = success("CreateLaunchTemplate", |xml| {
        xml.nest("launchTemplate", |xml| write(xml, &template, now));
    });
    world.templates.push(template);
    Ok(answer)
}

pub(super) fn describe(world: &World, form: &Form, now: Timestamp) -> Result<Response, ApiError> {
    let mut found = Vec::new();
    for id in form.list("LaunchTemplateId") {
        found.push(world.by_id(id)?);
    }
    for name in form.list("LaunchTemplateName") {
        found.push(world.by_name(name)?);
    }
    if form.list("LaunchTemplateId").is_empty() && form.list("LaunchTemplateName").is_empty() {
        found = world.templates.iter().collect();
    }
    Ok(success("DescribeLaunchTemplates", |xml| {
        xml.nest("launchTemplates", |xml| {
            for template in found {
                xml.nest("item", |xml| write(xml, template, now));
            }
        });
    }))
}

fn write(xml: &mut Xml, template: &Template, now: Timestamp) {
    xml.text("launchTemplateId", &template.id);
    xml.text("launchTemplateName", &template.name);
    xml.text("createTime", &now.to_string());
    xml.text("defaultVersionNumber", "1");
    xml.text("latestVersionNumber", "1");
}
